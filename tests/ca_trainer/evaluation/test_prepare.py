"""The command `prepare`, and the official DAVIS layout."""

import hashlib
import json
from pathlib import Path

import av
import pytest
import torch
from ca_data import (
    EvaluationSet,
    FrameFolder,
    VideoReader,
    changed_clips,
    davis_clips,
    resize,
    synthetic_clip,
    video_sources,
    write_frames,
)
from ca_data.davis import davis_splits
from ca_trainer.cli import main

SIZE = ("--size", "48x32")


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """A DAVIS root with three sequences, the split files of 2017 and those of 2016."""
    root = tmp_path / "DAVIS"
    for seed, name in enumerate(["bear", "dog", "swan"]):
        write_frames(synthetic_clip(seed, frames=3, size=(61, 83)), root / "JPEGImages" / "480p" / name)
    files = {
        "2017/val": "swan\nbear\n",
        "2017/train": "dog\n",
        "480p/val": "".join(
            f"/JPEGImages/480p/{name}/{number:05d}.jpg /Annotations/480p/{name}/{number:05d}.png\n"
            for name in ("dog", "bear")
            for number in range(3)
        ),
    }
    for name, text in files.items():
        (root / "ImageSets" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / f"{name}.txt").write_text(text)
    return root


def prepare(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["prepare", *map(str, arguments)])
    return int(left.value.code or 0)


def test_official_splits_of_both_years(davis: Path):
    assert list(davis_splits(davis)) == ["2017/train", "2017/val", "480p/val"]
    assert [clip.name for clip in davis_clips(davis, "2017/val")] == ["swan", "bear"]
    assert [clip.name for clip in davis_clips(davis.parent, "480p/val")] == ["dog", "bear"]


def test_what_is_missing_is_named(davis: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="split must be one of 2017/train, 2017/val, 480p/val, got 'val'"):
        davis_clips(davis, "val")
    (davis / "ImageSets" / "2017" / "val.txt").write_text("swan\nyak\n")
    with pytest.raises(ValueError, match="480p lacks yak"):
        davis_clips(davis, "2017/val")
    with pytest.raises(ValueError, match="no DAVIS root, expected JPEGImages and ImageSets"):
        davis_splits(tmp_path / "nowhere")


def test_a_set_is_made_once_with_checksums_that_hold(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "set"
    assert prepare("--davis", davis, *SIZE, "--out", out) == 0
    assert "2 clips, 6 frames at 48x32" in capsys.readouterr().out
    source = FrameFolder(davis / "JPEGImages" / "480p" / "swan").read()
    made = FrameFolder(out / "swan")
    assert torch.equal(made.read(), resize(source, (32, 48)))
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["dataset"], manifest["size"]) == ("DAVIS 2017 val", [48, 32])
    clip = manifest["clips"]["swan"]
    assert (clip["frames"], clip["source_size"]) == (3, [83, 61])
    digest = hashlib.sha256()
    for frame in made.read():
        digest.update(b"(3, 32, 48)" + frame.permute(1, 2, 0).contiguous().numpy().tobytes())
    assert clip["pixels_sha256"] == digest.hexdigest()
    changed = made.files[0].stat().st_mtime_ns
    assert prepare("--davis", davis, *SIZE, "--out", out) == 0
    assert "0 made, 2 already there" in capsys.readouterr().out
    assert made.files[0].stat().st_mtime_ns == changed


def test_a_changed_source_is_prepared_again_and_a_changed_set_is_found(davis: Path, tmp_path: Path):
    out = tmp_path / "set"
    prepare("--davis", davis, *SIZE, "--out", out)
    assert prepare("--check", "--out", out) == 0
    write_frames(synthetic_clip(9, frames=1, size=(61, 83)), davis / "JPEGImages" / "480p" / "swan", start=1)
    prepare("--davis", davis, *SIZE, "--out", out)
    assert changed_clips(out) == []
    source = FrameFolder(davis / "JPEGImages" / "480p" / "swan").read()
    assert torch.equal(FrameFolder(out / "swan").read(), resize(source, (32, 48)))
    write_frames(torch.zeros(1, 3, 32, 48, dtype=torch.uint8), out / "swan", start=2)
    assert changed_clips(out) == ["swan"]
    assert prepare("--check", "--out", out) == 2


def test_a_half_written_clip_is_no_clip(davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepared = EvaluationSet(tmp_path / "set", size=(32, 48), dataset="mine")
    swan = davis_clips(davis)[0]

    def stop(_: FrameFolder, indices: list[int]) -> torch.Tensor:
        if indices == [2]:
            raise KeyboardInterrupt
        return torch.zeros(1, 3, 61, 83, dtype=torch.uint8)

    with monkeypatch.context() as patch:
        patch.setattr(FrameFolder, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared.add(swan)
    assert not (tmp_path / "set" / "swan").exists()
    assert EvaluationSet(tmp_path / "set", size=(32, 48), dataset="mine").add(swan)


def test_a_folder_is_one_set(davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    prepare("--davis", davis, *SIZE, "--out", tmp_path / "set")
    assert prepare("--davis", davis, "--size", "64x32", "--out", tmp_path / "set") == 2
    assert "holds 'DAVIS 2017 val' at 48x32, expected 'DAVIS 2017 val' at 64x32" in capsys.readouterr().err
    assert prepare("--out", tmp_path / "set") == 2
    assert "expected one of --davis ROOT and --videos FOLDER" in capsys.readouterr().err


def test_evaluation_takes_the_name_from_the_manifest(davis: Path, tmp_path: Path):
    out = tmp_path / "set"
    prepare("--davis", davis, *SIZE, "--out", out)
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", "--data", str(out), "--method", "grey", "--out", str(tmp_path / "run")])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["dataset"] == "DAVIS 2017 val"
    assert results["mean"]["cdc"] is None
    assert "more than 4 frames" in results["missing"]["cdc"]


def test_a_folder_of_videos_is_decoded_and_resized(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    film = tmp_path / "videos" / "lake.mkv"
    film.parent.mkdir()
    with av.open(film, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        for picture in synthetic_clip(7, frames=5, size=(48, 64)):
            frame = av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode())
    out = tmp_path / "set"
    videos = ("--videos", film.parent, "--name", "Videvo", "--most-frames", 3, *SIZE, "--out", out)
    assert prepare(*videos) == 0
    assert "Videvo: 1 clip, 3 frames" in capsys.readouterr().out
    expected = resize(torch.stack([frame.rgb() for frame in VideoReader(film)][:3]), (32, 48))
    assert torch.equal(FrameFolder(out / "lake").read(), expected)
    assert json.loads((out / "manifest.json").read_text())["clips"]["lake"]["source_size"] == [64, 48]
    assert prepare(*videos) == 0
    assert "1 already there" in capsys.readouterr().out


def test_folders_of_frames_stand_beside_videos(tmp_path: Path):
    write_frames(synthetic_clip(0, frames=2, size=(17, 19)), tmp_path / "b")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert [clip.name for clip in video_sources(tmp_path)] == ["a", "b"]
    (tmp_path / "a.mov").write_bytes(b"")
    with pytest.raises(ValueError, match="more than one clip named a; rename one"):
        video_sources(tmp_path)
