"""Damaged checkpoints, full disks, foreign files and runs that were killed late: nothing lost, one line each."""

import errno
import random
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ca_model import read_metadata
from ca_trainer.cli import main
from ca_trainer.errors import TrainerError
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training import run as run_module
from ca_trainer.training.batches import find_clips
from ca_trainer.training.checkpoint import is_sound, list_checkpoints
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.run import train


def arguments(*options: str, changes: list[str]) -> list[str]:
    return [*options, *(word for change in changes for word in ("--set", change))]


def fails(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that exits with 2."""
    with pytest.raises(SystemExit) as ending:
        main(options)
    error = capsys.readouterr().err
    assert ending.value.code == 2
    assert error.count("\n") == 1, error
    return error


def succeeds(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ending:
        main(options)
    told = capsys.readouterr()
    assert ending.value.code == 0, told.err
    return told.out


@pytest.fixture
def finished(tmp_path: Path, quick: list[str]) -> Path:
    """A run of 6 steps with checkpoints after 4 and 6."""
    return train(load_recipe("demo", quick), out=tmp_path / "run").folder


def test_a_flipped_bit_in_the_newest_checkpoint_is_found_and_the_older_one_used(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newest = list_checkpoints(finished / "checkpoints")
    before = (finished / "weights.safetensors").read_bytes()
    state = bytearray((newest / "state.pt").read_bytes())
    state[len(state) // 2] ^= 1
    (newest / "state.pt").write_bytes(state)
    (finished / "weights.safetensors").unlink()
    told = succeeds(["--resume", "--out", str(finished)], capsys)
    assert "Damaged, and passed over" in told
    assert "Continuing after step 4" in told
    assert is_sound(newest)  # step 6 was made again
    assert (finished / "weights.safetensors").read_bytes()[-1000:] == before[-1000:]
    for checkpoint in (older, newest):
        (checkpoint / "state.pt").write_bytes(b"")
    told = fails(["--resume", "--out", str(finished), "--max-steps", "8"], capsys)
    assert "all 2 checkpoints" in told


def test_mutated_checkpoints_are_never_sound(finished: Path, tmp_path: Path) -> None:
    checkpoint = list_checkpoints(finished / "checkpoints")[-1]
    assert is_sound(checkpoint)
    for seed in range(40):
        chance = random.Random(seed)
        copy = tmp_path / f"copy-{seed}"
        shutil.copytree(checkpoint, copy)
        file = copy / ("state.sha256" if seed % 4 == 0 else "state.pt")
        data = bytearray(file.read_bytes())
        if seed % 3 == 0:
            data = data[: chance.randrange(len(data))]
        else:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        assert not is_sound(copy), seed


def test_a_run_killed_before_its_weights_gets_them_on_resuming(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            train(load_recipe("demo", quick), out=out)
    assert not (out / "weights.safetensors").exists()
    succeeds(["--resume", "--out", str(out)], capsys)
    assert read_metadata(out / "weights.safetensors")["steps"] == "6"
    assert "nothing to do" in fails(["--resume", "--out", str(out)], capsys)


def test_a_full_disk_keeps_earlier_checkpoints_and_leaves_nothing_half_written(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, opened = tmp_path / "run", Path.open

    class Full(BytesIO):
        def write(self, *_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_file(path: Path, *rest: Any, **named: Any) -> Any:
        if path.name == "state.pt" and "step-00000004" in str(path):
            return Full()
        return opened(path, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", open_file)
        told = fails(arguments("--out", str(out), changes=quick), capsys)
    assert "No space left on device" in told
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000002"]
    assert "Continuing after step 2" in succeeds(["--resume", "--out", str(out)], capsys)
    assert [entry["step"] for entry in read_metrics(out / "metrics.jsonl") if entry["event"] == "step"] == [
        *range(1, 7)
    ]


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "metrics.jsonl", "preview.png", "checkpoints", "recipe.toml"]
)
def test_files_of_somebody_else_are_not_replaced(
    name: str, tmp_path: Path, quick: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("years of work")
    told = fails(arguments("--out", str(tmp_path / "mine"), changes=quick), capsys)
    assert f"holds {name}, which is not of a run" in told
    assert [(file.name, file.read_text()) for file in (tmp_path / "mine").iterdir()] == [
        (name, "years of work")
    ]


def test_a_lock_that_is_a_symbolic_link_is_not_followed(
    tmp_path: Path, quick: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    fails(arguments("--out", str(tmp_path / "run"), changes=quick), capsys)
    assert (tmp_path / "precious").read_text() == "years of work"


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"event": "step", "step": "x", "loss": 1}', "\ufeff", "[" * 99_999, "null"]
)
def test_odd_lines_of_a_metrics_log_are_named(line: str, tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    good = '{"event": "step", "step": 1, "loss": 0.5}'
    log.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(TrainerError, match="line 2: expected an entry of a run"):
        list(read_metrics(log))
    log.write_text(f"{good}\n{line}")
    assert len(list(read_metrics(log))) == 1  # what a kill cut short


def test_data_that_need_preparing_and_empty_frames_are_named(tmp_path: Path, data: Path) -> None:
    official, videos = tmp_path / "DAVIS", tmp_path / "videos"
    (official / "JPEGImages" / "480p").mkdir(parents=True)
    videos.mkdir()
    (videos / "film.mp4").write_bytes(b"x")
    for root, hint in ((official, "prepare --davis"), (videos, "prepare --videos")):
        with pytest.raises(TrainerError, match=hint):
            find_clips(load_recipe("demo", ['data.source="clips"', f"data.root='{root}'"]).data)
    copy = tmp_path / "clips"
    shutil.copytree(data, copy)
    victim = sorted(copy.rglob("*.*"))[2]
    victim.write_bytes(b"")
    changes = ['data.source="clips"', f"data.root='{copy}'", "data.clip_length=2", "data.crop=[16, 16]"]
    with pytest.raises(TrainerError, match=rf"{victim.name} is an empty file"):
        find_clips(load_recipe("demo", changes).data)
