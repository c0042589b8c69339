"""`python -m ca_metrics`: numbers, JSON, pairing of folders, and one line with exit code 2 for bad input."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from ca_metrics import score_clip
from ca_metrics.cli import main
from PIL import Image


def write(folder: Path, frames: torch.Tensor, pattern: str = "{:05d}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / pattern.format(i))
    return folder


def clip(seed: int, frames: int = 6, size: tuple[int, int] = (13, 17)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.fixture(autouse=True)
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred, true = write(tmp_path / "p", clip(0, 19)), write(tmp_path / "t", clip(1, 19))
    result = run(capsys, pred, true, "--skip-first")
    expected = score_clip(clip(0, 19), clip(1, 19), skip_first=True)
    for name in ("psnr", "ssim", "cdc", "cdc_truth", "cdc_distance", "colorfulness", "colorfulness_truth"):
        assert result[name] == pytest.approx(getattr(expected, name), rel=1e-12), name
    assert (result["frames"], result["scored_frames"], result["skip_first"]) == (19, 18, True)
    assert result["lpips"] is None
    assert "download" in result["notes"]["lpips"]
    assert "per_frame" not in result["clips"]["p"]


def test_folders_of_clips_are_averaged_over_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed, frames in (("a", 0, 5), ("b", 2, 11)):
        write(tmp_path / "p" / name, clip(seed, frames))
        write(tmp_path / "t" / name, clip(seed + 1, frames) // 2)
    result = run(capsys, tmp_path / "p", tmp_path / "t", "--per-frame")
    assert list(result["clips"]) == ["a", "b"]
    assert result["psnr"] == pytest.approx((result["clips"]["a"]["psnr"] + result["clips"]["b"]["psnr"]) / 2)
    assert len(result["clips"]["b"]["per_frame"]["ssim"]) == 11
    assert result["frames"] == 16


def test_table_has_a_dash_and_a_reason_for_lpips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "p", clip(0))
    assert main([str(folder), str(folder)]) == 0
    head, row, _, *notes = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["clip", "frames", "PSNR", "SSIM", "LPIPS"]
    assert row.split()[:5] == ["p", "6", "-", "1.0000", "-"]
    assert any("--skip-first leaves out a reference" in note for note in notes)


def test_numbers_in_names_are_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred = write(tmp_path / "p", clip(0, 12), "frame_{}.png")
    true = write(tmp_path / "t", clip(0, 12))
    (pred / ".hidden.png").write_text("not a frame")
    (pred / "notes.txt").write_text("not a frame")
    result = run(capsys, pred, true)
    assert result["notes"]["psnr"].startswith("infinite: 12 of 12")


def test_grey_palette_and_alpha_images_are_read_as_rgb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = clip(0)[:, :1].expand(-1, 3, -1, -1)
    true = write(tmp_path / "t", grey)
    pred = tmp_path / "p"
    pred.mkdir()
    for i, mode in enumerate(("L", "LA", "RGB", "RGBA", "L", "L")):
        Image.fromarray(grey[i].permute(1, 2, 0).numpy()).convert(mode).save(pred / f"{i}.png")
    assert run(capsys, pred, true)["ssim"] == pytest.approx(1.0)


def bad_folders(root: Path) -> dict[str, tuple[Path, Path, str]]:
    good, clips = write(root / "good", clip(0)), write(root / "clips" / "a", clip(0)).parent
    damaged = write(root / "damaged", clip(0))
    (damaged / "00003.png").write_bytes((damaged / "00003.png").read_bytes()[:200])
    text = write(root / "text", clip(0))
    (text / "00003.png").write_text("no image")
    deep = write(root / "deep", clip(0))
    Image.new("I;16", (17, 13)).save(deep / "00003.png")
    odd = write(root / "odd", clip(0))
    write(odd, clip(0, 1, (17, 13)), "00003.png")
    (root / "empty").mkdir()
    other = write(root / "other" / "b", clip(0)).parent
    return {
        "missing": (root / "nowhere", good, "nowhere: expected a folder of frames, got nothing"),
        "file": (good / "00000.png", good, "00000.png: expected a folder of frames, got a file"),
        "empty": (good, root / "empty", "empty: expected images"),
        "counts": (write(root / "few", clip(0, 5)), good, "got 5 in"),
        "sizes": (write(root / "large", clip(0, 6, (14, 17))), good, "expected 17 x 13 pixels"),
        "odd size": (good, odd, "00003.png: expected 17 x 13 pixels"),
        "frames and clips": (good, clips, "got frames in"),
        "other clips": (clips, other, "expected the same clips in both folders, but a is in"),
        "damaged": (good, damaged, "00003.png: expected an image, got a damaged file"),
        "text": (text, good, "00003.png: expected an image, got a file that is none"),
        "16 bit": (deep, good, "00003.png: expected an 8-bit image, got mode I;16"),
    }


CASES = ("missing", "file", "empty", "counts", "sizes", "odd size", "frames and clips", "other clips")


@pytest.mark.parametrize("case", [*CASES, "damaged", "text", "16 bit"])
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, true, message = bad_folders(tmp_path)[case]
    assert main([str(pred), str(true)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ca_metrics: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--lpips-weights", "nowhere.pth", "no file nowhere.pth"),
        ("--device", "abacus", "expected a device of this machine, got 'abacus'"),
    ],
)
def test_bad_options(
    option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "p", clip(0))
    assert main([str(folder), str(folder), option, value]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_runs_as_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ca_metrics", str(tmp_path / "nowhere"), str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("ca_metrics", run_name="__main__")
    assert caught.value.code == 2
