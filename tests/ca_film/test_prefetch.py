"""Stages at the same time, with a bounded number of frames between them."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from ca_film import ColorizeOptions, colorize
from ca_film.network.prefetch import Prefetch
from ca_film.source.film import Frame
from ca_film.source.video import VideoFilm


def test_order_is_kept_and_work_runs_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    with Prefetch(numbers(), ahead=3) as stage:
        taken = iter(stage)
        assert next(taken) == 0
        time.sleep(0.2)
        # One taken, three waiting, one in the maker's hand.
        assert len(made) == 5
        assert [0, *taken] == list(range(20))


def test_an_error_arrives_where_items_are_taken() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("wax")

    with Prefetch(broken(), ahead=2) as stage, pytest.raises(RuntimeError, match="wax"):
        list(stage)


def test_giving_up_early_stops_the_threads() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    before = threading.active_count()
    with Prefetch(endless(), ahead=2) as first, Prefetch((x for x in first), ahead=2) as second:
        next(iter(second))
    assert closed.is_set()
    assert threading.active_count() == before


def test_few_frames_live_at_once(
    make_film: object,
    still: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = make_film(timestamps=range(0, 40000, 1000))  # type: ignore[operator]
    living: weakref.WeakSet[Frame] = weakref.WeakSet()
    most = 0
    true_frames = VideoFilm.frames

    def watched(self: VideoFilm, start: int = 0) -> Iterator[Frame]:
        nonlocal most
        for frame in true_frames(self, start):
            living.add(frame)
            gc.collect(0)
            most = max(most, len(living))
            yield frame

    monkeypatch.setattr(VideoFilm, "frames", watched)
    options = ColorizeOptions((still,), str(weights), (48, 80), "cpu", cuts=())
    assert colorize(film, tmp_path / "out.mkv", options).frames == 40
    # Two queues of four, and a frame or two in the hands of each stage; the length of the film does not matter.
    assert 0 < most <= 16
