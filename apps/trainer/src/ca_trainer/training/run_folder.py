"""A run's folder: made once, never overwritten, and readable whenever a kill comes."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ca_data import write_atomically

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import parse_recipe, recipe_to_toml


class RunFolder:
    """Names of what lies in a run's folder.

    Args:
        path: the folder; see `name_run` and `open_run`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.toml"
        self.provenance = path / "provenance.json"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.weights = path / "weights.safetensors"
        self.curve = path / "loss_curve.png"
        self.preview = path / "preview.png"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep other processes from training in it at the same time.

        Raises:
            TrainerError: one does already, or the folder cannot be made.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            # never through a symbolic link, and never over what is there
            lock = os.fdopen(os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666))
        except OSError as error:
            raise TrainerError(f"--out: cannot write to the folder {self.path}: {error.strerror}") from None
        with lock:
            try:
                # a record lock is not handed on to forked workers: it ends with this process, even a killed one
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TrainerError(
                    f"--out: another process is training in {self.path}; wait for it"
                ) from None
            yield

    def begin(self, recipe: Recipe, provenance: Mapping[str, Any]) -> None:
        """Note in the folder what the run is about to do."""
        try:
            write_atomically(self.provenance, json.dumps(provenance, indent=2) + "\n")
            write_atomically(self.recipe, recipe_to_toml(recipe))
        except OSError as error:
            raise TrainerError(f"--out: cannot write to the folder {self.path}: {error.strerror}") from None

    def strangers(self) -> list[str]:
        """Files that a run would replace, in a folder that no run has made."""
        ours = (self.recipe, self.provenance, self.metrics, self.tensorboard, self.checkpoints, self.weights)
        return [path.name for path in (*ours, self.curve, self.preview) if os.path.lexists(path)]


def name_run(out: Path | None, name: str) -> RunFolder:
    """Name a new run's folder; it is made when the run begins.

    Args:
        out: the folder; None: `runs/<name>-<date>-<time>`.
        name: the recipe's.

    Raises:
        TrainerError: the folder holds a run already, or files of somebody else's that a run would replace.
    """
    path = out or _free_name(Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}")
    if holds_run(path):
        raise TrainerError(
            f"--out: {path} already holds a run; add --resume to continue it, or choose another folder"
        )
    run = RunFolder(path)
    if strangers := run.strangers():
        raise TrainerError(
            f"--out: {path} holds {strangers[0]}, which is not of a run and would be replaced; choose another folder"
        )
    return run


def open_run(out: Path | None) -> tuple[RunFolder, Recipe]:
    """Open the run in a folder, with the recipe it began with.

    Raises:
        TrainerError: no folder given, or none that holds a run.
    """
    if out is None:
        raise TrainerError("--resume: say which run to continue with --out DIR")
    if not holds_run(out):
        raise TrainerError(
            f"--resume: {out} holds no run (no recipe.toml and provenance.json in it); leave --resume out to start one"
        )
    run = RunFolder(out)
    try:
        text = run.recipe.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"--resume: {run.recipe} cannot be read ({error})") from None
    return run, parse_recipe(text, origin=str(run.recipe))


def holds_run(path: Path) -> bool:
    """Whether a folder holds a run: its two marks, the recipe and where it came from."""
    return all((path / name).is_file() for name in ("recipe.toml", "provenance.json"))


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
