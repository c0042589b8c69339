"""Encoded stretches of film on disk."""

from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import YuvCoding
from ca_film import FilmFormat
from ca_film.output.encoding import choose_encoding, open_encoder
from ca_film.output.segments import SegmentStore, split_shots
from ca_film.output.work import WorkFolder

FORM = FilmFormat((32, 48), YuvCoding(), pixel_format="yuv420p")


@pytest.fixture
def work(tmp_path: Path) -> WorkFolder:
    return WorkFolder(tmp_path / "film.mkv", {"input": "a"})


def encode(work: WorkFolder, segment: range, codec: str = "h264") -> SegmentStore:
    store = SegmentStore(work)
    encoding = choose_encoding(FORM, Path("out.mkv"), codec=codec)
    writer = store.writer(segment, open_encoder(encoding, FORM))
    for index in segment:
        pixels = np.full((48, 48), 128, np.uint8)
        pixels[8:24, index : index + 16] = 200
        frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
        frame.pts, frame.time_base = index, 1 / FORM.rate
        writer.write(frame)
    writer.finish()
    return store


def test_a_segment_holds_every_frame_once_and_begins_with_a_key(work: WorkFolder) -> None:
    segment = range(7, 18)
    assert not SegmentStore(work).has(segment)
    store = encode(work, segment)
    assert store.has(segment)
    packets = list(store.packets(segment))
    assert [packet.frame for packet in packets] == store.order(segment)
    assert sorted(store.order(segment)) == list(segment)
    assert store.order(segment) != list(segment), "x264 reorders frames"
    assert packets[0].is_key
    assert all(packet.data for packet in packets)


def test_packets_and_headers_are_enough_to_decode(work: WorkFolder) -> None:
    segment = range(0, 6)
    store = encode(work, segment)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = store.extradata(segment)
    frames = [frame for packet in store.packets(segment) for frame in decoder.decode(av.Packet(packet.data))]
    frames += decoder.decode(None)
    assert [(frame.width, frame.height) for frame in frames] == [(48, 32)] * 6


def test_equal_frames_give_equal_files(work: WorkFolder) -> None:
    store = encode(work, range(0, 5))
    before = list(store.packets(range(0, 5)))
    assert list(encode(work, range(0, 5)).packets(range(0, 5))) == before


def test_an_abandoned_segment_leaves_nothing(work: WorkFolder, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    store = SegmentStore(work)
    encoding = choose_encoding(FORM, Path("out.mkv"), codec="ffv1")
    writer = store.writer(range(0, 5), open_encoder(encoding, FORM))
    assert sorted(tmp_path.rglob("*")) != before
    writer.abandon()
    assert sorted(tmp_path.rglob("*")) == before
    assert not store.has(range(0, 5))


def test_split_shots() -> None:
    assert split_shots([range(0, 5), range(5, 6), range(6, 13)], 3) == [
        range(0, 3),
        range(3, 5),
        range(5, 6),
        range(6, 9),
        range(9, 12),
        range(12, 13),
    ]
    assert split_shots([], 3) == []
