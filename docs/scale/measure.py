"""Durations that docs/scale.md and its simulation rest on, measured on this machine.

    uv run --group cluster python docs/scale/measure.py

Prints lines of JSON, for some minutes. A film of many shots is coloured by one and by two workers of a Ray cluster,
one thread each, beside one and two plain processes that colour it by themselves; then a film of 1920 x 1080 is looked
through, coloured and joined, by one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

os.environ["OMP_NUM_THREADS"] = "1"

import av
import numpy as np
import torch
from ca_data import synthetic_clip, write_frames
from ca_film import ColorizeOptions, Progress, colorize, open_film
from ca_film.batch import BatchRecord, color_on_cluster, find_films
from ca_film.source.survey import survey_film

SHOTS, FRAMES, SIZE = 16, 8, (144, 256)
LARGE, LARGE_FRAMES = (1080, 1920), 24


def write_film(path: Path, shots: int, frames: int, size: tuple[int, int], codec: str) -> None:
    """A grey film of synthetic shots."""
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(codec, rate=Fraction(24)))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(shots * frames):
            if number % frames == 0:
                clip = synthetic_clip(number // frames, frames, size).permute(0, 2, 3, 1).numpy()
            grey = np.ascontiguousarray(np.repeat(clip[number % frames][..., 1:2], 3, axis=2))
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def plain(film: Path, still: Path, folder: Path, processes: int) -> float:
    """Seconds in which so many processes, side by side, each colour the frames of the film."""
    running = []
    for number in range(processes):
        typed = [str(film), str(still), str(folder / f"plain-{processes}-{number}.mkv")]
        running.append(
            subprocess.Popen([sys.executable, __file__, "--plain", *typed], stdout=subprocess.PIPE, text=True)
        )
    return max(float(process.communicate()[0]) for process in running)


def plain_process(film: str, still: str, out: str) -> None:
    """Colour a film and print the seconds that its frames took."""
    torch.set_num_threads(1)
    stages, cuts = Stages(), tuple(range(FRAMES, SHOTS * FRAMES, FRAMES))
    colorize(film, out, ColorizeOptions(still, None, SIZE, "cpu", cuts=cuts, segment=FRAMES), stages)
    print(stages.began["writing"] - stages.began["colouring"])


def on_cluster(film: Path, short: Path, still: Path, folder: Path, workers: int) -> dict[str, Any]:
    """Seconds by so many workers for the parts of a film, once each has coloured another one: nobody starts up then."""
    options = ColorizeOptions(
        str(still), None, SIZE, "cpu", cuts=tuple(range(FRAMES, SHOTS * FRAMES, FRAMES)), segment=FRAMES
    )
    films = find_films([short, film], options)
    with BatchRecord(folder / f"cluster-{workers}") as record:
        start = time.monotonic()
        _, tally = color_on_cluster(record, films, "local", device="cpu", places=workers)
        whole = time.monotonic() - start
    began, ended = tally.spans[str(film), "part"]
    return {
        "parts": ended - began,
        "whole": whole,
        "tasks": tally.tasks,
        "task_seconds": tally.seconds,
        "frames": tally.painted,
    }


class Stages(Progress):
    """Notes when each stage began."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def stage(self, name: str, _total: int | None) -> None:
        self.began[name] = time.monotonic()


def large(folder: Path) -> dict[str, Any]:
    """Seconds a frame of 1920 x 1080 (H.264 in and out) by stage, one thread of the network."""
    film = folder / "large.mp4"
    write_film(film, 1, LARGE_FRAMES, LARGE, "libx264")
    still = write_frames(synthetic_clip(0, 1, LARGE), folder / "large-still")
    start = time.monotonic()
    survey_film(open_film(film), None, checked=True)
    checked = time.monotonic() - start
    stages = Stages()
    start = time.monotonic()
    result = colorize(film, folder / "large-out.mp4", ColorizeOptions(still, device="cpu", cuts=()), stages)
    end = time.monotonic()
    return {
        "looked_through_with_checksums": checked / LARGE_FRAMES,
        "looked_through": (stages.began["colouring"] - stages.began["looking through the film"])
        / LARGE_FRAMES,
        "coloured": (stages.began["writing"] - stages.began["colouring"]) / LARGE_FRAMES,
        "joined": (end - stages.began["writing"]) / LARGE_FRAMES,
        "bytes_in": film.stat().st_size / LARGE_FRAMES,
        "bytes_out": result.out.stat().st_size / LARGE_FRAMES,
    }


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        film = folder / "film.mkv"
        write_film(film, SHOTS, FRAMES, SIZE, "ffv1")
        short = folder / "short.mkv"
        write_film(short, 2, FRAMES, SIZE, "ffv1")
        still = write_frames(synthetic_clip(0, 1, SIZE), folder / "still")
        jobs = {
            "one_process": lambda: plain(film, still, folder, 1),
            "two_processes": lambda: plain(film, still, folder, 2),
            "two_workers": lambda: on_cluster(film, short, still, folder, 2),
            "one_worker": lambda: on_cluster(film, short, still, folder, 1),
            "large": lambda: large(folder),
        }
        print(json.dumps({"frames": SHOTS * FRAMES, "shots": SHOTS, "cores": os.cpu_count()}), flush=True)
        for name, job in jobs.items():
            print(json.dumps({name: job()}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plain"]:
        plain_process(*sys.argv[2:])
    else:
        main()
