"""Timestamps and decoding times, worked by hand."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import YuvCoding
from ca_film import FilmError, FilmFormat
from ca_film.output.segments import EncodedPacket
from ca_film.output.timing import (
    check_timing,
    decoding_time,
    movie_timescale,
    reorder_delay,
    timed_packets,
)
from ca_film.source.survey import Survey


class Packets:
    """Segments of which only the coding order matters."""

    def __init__(self, orders: dict[range, list[int]]) -> None:
        self.orders = orders

    def order(self, segment: range) -> list[int]:
        return self.orders[segment]

    def packets(self, segment: range) -> list[EncodedPacket]:
        return [EncodedPacket(frame, place == 0, b"") for place, frame in enumerate(self.orders[segment])]


def times(orders: dict[range, list[int]], survey: Survey) -> list[tuple[int, int, int]]:
    made = timed_packets(Packets(orders), list(orders), survey)  # type: ignore[arg-type]
    return [(timed.shown, timed.decoded, timed.duration) for timed in made]


@pytest.mark.parametrize(
    ("order", "delay"),
    [
        ([0, 1, 2, 3], 0),
        ([0, 2, 1, 4, 3], 1),  # I P B P B: each B is coded one place after its own
        ([0, 4, 2, 1, 3], 2),  # a pyramid: frame 1 is coded fourth
        ([0, 3, 1, 2], 1),
        ([], 0),
    ],
)
def test_reorder_delay(order: list[int], delay: int) -> None:
    assert reorder_delay(order) == delay
    assert reorder_delay([frame + 7 for frame in order], 7) == delay


def test_frames_without_reordering_are_decoded_when_shown() -> None:
    survey = Survey([10, 20, 45], [0, 0, 5])
    assert times({range(0, 3): [0, 1, 2]}, survey) == [(10, 10, 10), (20, 20, 25), (45, 45, 5)]


def test_reordered_frames_of_a_variable_rate_are_decoded_before_they_are_shown() -> None:
    """Delay 1: the k-th packet at the time of the frame before, the first a step before zero."""
    survey = Survey([0, 10, 40, 41, 90], [0] * 5)
    made = times({range(0, 5): [0, 2, 1, 4, 3]}, survey)
    assert [shown for shown, _, _ in made] == [0, 40, 10, 90, 41]
    assert [decoded for _, decoded, _ in made] == [-10, 0, 10, 40, 41]
    # The film does not say how long its last frame is shown: as long as the one before.
    assert [duration for _, _, duration in made] == [10, 1, 30, 49, 49]


def test_one_delay_holds_for_all_segments() -> None:
    survey = Survey([0, 10, 20, 30, 40, 50], [10] * 6)
    made = times({range(0, 2): [0, 1], range(2, 6): [2, 5, 4, 3]}, survey)
    assert [decoded for _, decoded, _ in made] == [-20, -10, 0, 10, 20, 30]
    assert all(decoded <= shown for shown, decoded, _ in made)


def test_a_film_of_one_frame() -> None:
    assert times({range(0, 1): [0]}, Survey([7], [0])) == [(7, 7, 1)]
    assert decoding_time([7], -2) == 5


def test_movie_timescale_holds_every_time_base_where_32_bits_allow() -> None:
    form = FilmFormat((2, 2), YuvCoding(), time_base=Fraction(1, 30000))
    assert movie_timescale(form, []) == 30000
    assert movie_timescale(form, [Fraction(1, 48000)]) == 240000
    assert movie_timescale(form, [Fraction(1, 44100), Fraction(1, 1000003)]) == 1000003


def write(path: Path, timestamps: list[int], time_base: Fraction) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        for timestamp in timestamps:
            frame = av.VideoFrame.from_ndarray(np.zeros((24, 32), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = timestamp, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_the_file_is_checked_against_the_film(tmp_path: Path) -> None:
    base = Fraction(1, 24000)
    exact, rounded = tmp_path / "film.nut", tmp_path / "film.mkv"
    form = FilmFormat((16, 32), YuvCoding(), time_base=base)
    for path in (exact, rounded):
        write(path, [0, 1001, 2002], base)
    assert check_timing(exact, form, [0, 1001, 2002]) == []
    (note,) = check_timing(rounded, form, [0, 1001, 2002])
    assert note.startswith(".mkv counts time in steps of 1/1000 s: timestamps are rounded by up to 0.42 ms")
    with pytest.raises(FilmError, match="came out with 3 frames, expected 4"):
        check_timing(exact, form, [0, 1001, 2002, 3003])
    with pytest.raises(FilmError, match=r"timestamps off by 0\.0417 s"):
        check_timing(exact, form, [0, 1001, 3003])
