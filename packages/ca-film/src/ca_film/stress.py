"""Stress: kills, full disks and damaged films at random points, and whether anything was lost.

    uv run python -m ca_film.stress --kills 30 --full 30 --films 100

Small films are coloured in processes of their own (fork: Linux and macOS), which are killed before a random operation
on the file system, publishing and tidying up included, or may write only so many bytes a file, or read a film that was
cut and altered. Right is: one line or success, never a traceback or a hang; nothing under the output's name that is not
whole; and the same call afterwards gives the bytes of a run that nothing disturbed, and leaves nothing beside it. (Who
was killed when the output was there and nothing but an empty folder was left to remove had finished: the same call may
say that the output exists.)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from ca_data import synthetic_clip, write_frames
from ca_model import create_model, save_model

from ca_film.colorize import colorize
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions

__all__ = ["Tally", "main", "stress"]

_FRAMES, _SIZE = 5, (48, 64)
_PATIENCE = 120.0
_OPERATIONS = ("open", "replace", "rename", "unlink", "rmdir", "mkdir")
_FAILED = 1  # a traceback


@dataclass
class Tally:
    """What was tried and how it went.

    Args:
        name: of the trial.
        tried: how often.
        wrong: one line for each time that something was lost, half written, or not told in one line.
    """

    name: str
    tried: int
    wrong: list[str]

    def __str__(self) -> str:
        told = "".join(f"\n  {line}" for line in self.wrong)
        return f"{self.name}: {self.tried} tried, {self.tried - len(self.wrong)} right, {len(self.wrong)} wrong{told}"


def stress(folder: Path, *, kills: int = 30, full: int = 30, films: int = 100, seed: int = 0) -> list[Tally]:
    """Try all three kinds of trouble.

    Args:
        folder: for films and outputs; empty.
        kills, full, films: how many killed runs, full disks and damaged films.
        seed: of the random points.

    Returns:
        One tally for each kind.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a forked process has no other threads
    try:
        job = _Job(folder)
        return [
            _tally("killed", kills, lambda number: job.killed(number, kills, seed)),
            _tally("disk full", full, lambda number: job.full(number, seed)),
            _tally("damaged films", films, lambda number: job.damaged(number, seed)),
        ]
    finally:
        torch.set_num_threads(threads)


def _tally(name: str, times: int, trial: Callable[[int], str | None]) -> Tally:
    wrong = [f"{number}: {line}" for number in range(times) if (line := trial(number)) is not None]
    return Tally(name, times, wrong)


class _Job:
    """Two films, one still, weights, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        frames = synthetic_clip(1, _FRAMES, _SIZE)
        self.still = write_frames(frames[:1], folder / "stills")
        self.weights = folder / "tiny.safetensors"
        torch.manual_seed(0)
        save_model(create_model("tiny"), self.weights)
        self.films = [_write_film(frames.numpy(), folder / name) for name in ("film.mkv", "film.mp4")]
        # Every second output is a folder of PNG files.
        self.outs = ("color.mkv", "color")
        self.whole: dict[str, str] = {}
        self.operations: dict[str, int] = {}
        for name in self.outs:
            log = folder / f"{name}.operations"
            code = self._run(self.films[0], folder / name, partial(_count_operations, log))
            assert code == 0, "an undisturbed run must succeed"
            self.whole[name] = _digest(folder / name)
            self.operations[name] = len(log.read_bytes())

    def killed(self, number: int, times: int, seed: int) -> str | None:
        """Kill a run before one operation; of the last ones, which publish and tidy up, every one has its turn."""
        name = self.outs[number % 2]
        total = self.operations[name]
        place = (
            total - 1 - number // 2 if number < times // 2 else random.Random(seed + number).randrange(total)
        )
        out = self.folder / f"killed-{number}" / name
        code = self._run(self.films[0], out, lambda: _kill_at(max(0, place)))
        if code != -signal.SIGKILL:
            return f"was to be killed before operation {place}, ended with {code}"
        return self._again(out, name, f"killed before operation {place} of {total}")

    def full(self, number: int, seed: int) -> str | None:
        """Let no file grow beyond a random size."""
        name = self.outs[number % 2]
        limit = int(10 ** random.Random(seed + number).uniform(1.5, 5.0))
        out = self.folder / f"full-{number}" / name
        code = self._run(self.films[0], out, lambda: _limit_files(limit))
        if code == 0:
            return None if _digest(out) == self.whole[name] else f"{limit} bytes: success, but another output"
        if code != 2:
            return f"{limit} bytes a file: ended with {code}"
        if out.exists():
            return f"{limit} bytes a file: refused, but something has the output's name"
        return self._again(out, name, f"{limit} bytes a file")

    def damaged(self, number: int, seed: int) -> str | None:
        """Cut and alter a film."""
        chance = random.Random(seed + number)
        source = self.films[number % 2]
        content = bytearray(source.read_bytes())
        for _ in range(chance.choice((1, 3, 30, 300))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        if chance.random() < 0.3:
            content = content[: chance.randrange(len(content))]
        film = self.folder / f"damaged-{number}{source.suffix}"
        film.write_bytes(content)
        out = self.folder / f"damaged-{number}" / self.outs[0]
        code = self._run(film, out, lambda: None)
        if code not in (0, 2):
            return f"{film.name}: ended with {code}"
        if out.exists() != (code == 0):
            return f"{film.name}: ended with {code}, output there: {out.exists()}"
        return None

    def _again(self, out: Path, name: str, what: str) -> str | None:
        finished = out.exists() and not any(out.parent.glob("*.partial/*.json"))
        code = self._run(self.films[0], out, lambda: None)
        if code != 0 and not (finished and code == 2):
            return f"{what}: the same call then ended with {code}"
        if _digest(out) != self.whole[name]:
            return f"{what}: the same call then gave another output"
        left = sorted(path.name for path in out.parent.iterdir() if path != out and path.suffix != ".html")
        return f"{what}: {', '.join(left)} left over" if left else None

    def _run(self, film: Path, out: Path, prepare: Callable[[], None]) -> int:
        """Colour a film in a process of its own; its exit code, negative for a signal."""
        options = ColorizeOptions(
            self.still, str(self.weights), (48, 64), "cpu", report=True, segment=2, cuts=()
        )
        out.parent.mkdir(exist_ok=True)
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            code = _FAILED
            try:
                prepare()
                colorize(film, out, options)
                code = 0
            except FilmError:
                code = 2
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        deadline = time.monotonic() + _PATIENCE
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGTERM)
            time.sleep(0.01)


def _write_film(frames: np.ndarray, path: Path) -> Path:
    """A grey film with sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1" if path.suffix == ".mkv" else "mpeg4", rate=Fraction(25))
        video.height, video.width, video.pix_fmt = *_SIZE, "yuv420p"
        audio = container.add_stream("pcm_s16le" if path.suffix == ".mkv" else "aac", rate=8000)
        for index, rgb in enumerate(frames):
            grey = np.repeat(rgb[1][:, :, None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
            samples = np.zeros((1, 320), np.int16)
            sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            sound.rate, sound.pts = 8000, index * 320
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _digest(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def _before_each(act: Callable[[], None]) -> None:
    """Do something before every operation that changes the file system."""
    for name in _OPERATIONS:
        plain = getattr(os, name)

        def wrapped(*rest: object, plain: Callable[..., object] = plain, **named: object) -> object:
            act()
            return plain(*rest, **named)

        setattr(os, name, wrapped)


def _count_operations(log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT)

    def act() -> None:
        os.write(handle, b".")

    _before_each(act)


def _kill_at(place: int) -> None:
    done = 0

    def act() -> None:
        nonlocal done
        if done == place:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    _before_each(act)


def _limit_files(size: int) -> None:
    """A file system without room, as far as one process can have it: writes beyond a size are refused."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m ca_film.stress", description=__doc__.splitlines()[0])
    for name, times in (("kills", 30), ("full", 30), ("films", 100), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=times)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tallies = stress(Path(folder), **vars(chosen))
    for tally in tallies:
        print(tally)
    return int(any(tally.wrong for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
