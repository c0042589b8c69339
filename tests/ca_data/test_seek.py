"""Single frames by seeking are the frames that decoding in order gives."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from ca_data import SeekingReader, VideoError, VideoReader, synthetic_clip


def write(path: Path, frames: int, gop: int, **options: str) -> Path:
    clip = synthetic_clip(2, frames=frames, size=(48, 80))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 80, 48, "yuv420p", gop
        stream.options = {"x264-params": "scenecut=0", **options}
        for picture in clip:
            frame = av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_frame_of_a_long_group_is_the_one_in_order(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"film{suffix}", 31, 13)
    ordered = [(frame.pts, frame.luma) for frame in VideoReader(path)]
    reader = SeekingReader(path)
    assert len(reader) == 31
    for index in (30, 0, 17, 12, 13, 1):
        frame = next(reader.frames(index))
        assert frame.index == index
        assert frame.pts == ordered[index][0]
        assert torch.equal(frame.luma, ordered[index][1])
    assert [frame.index for frame in reader.frames(27)] == [27, 28, 29, 30]
    assert [reader.key_before(index) for index in (0, 12, 13, 30)] == [0, 0, 13, 26]


def test_numbers_follow_a_walk_in_order(tmp_path: Path) -> None:
    reader = SeekingReader(write(tmp_path / "film.mp4", 7, 7))
    reader.follow(reader.timestamps[2:])
    assert len(reader) == 5
    assert next(reader.frames(0)).pts == reader.timestamps[0]


def test_a_frame_that_is_not_there_is_refused(tmp_path: Path) -> None:
    reader = SeekingReader(write(tmp_path / "film.mp4", 5, 5))
    with pytest.raises(ValueError, match=r"0\.\.4, got 5"):
        next(reader.frames(5))
    with pytest.raises(VideoError, match="does not exist"):
        SeekingReader(tmp_path / "none.mp4")


def test_a_film_cut_short_has_the_frames_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", 31, 5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    reader = SeekingReader(path)
    assert 5 < len(reader) < 31
    assert np.asarray(next(reader.frames(5)).luma).shape == (48, 80)


def write_stamped(path: Path, timestamps: list[int]) -> Path:
    """A film whose packets carry these timestamps, in the order of coding."""
    clip = synthetic_clip(2, frames=len(timestamps), size=(48, 80))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.time_base = stream.codec_context.time_base = Fraction(1, 24)
        for number, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = timestamps[number]
                packet.time_base = Fraction(1, 24)
                container.mux(packet)
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("timestamps", [[0] * 9, [0, 1, 1, 1, 2, 3, 3, 4, 5]], ids=["all zero", "repeated"])
def test_frames_are_counted_where_timestamps_repeat(tmp_path: Path, timestamps: list[int]) -> None:
    path = write_stamped(tmp_path / "film.mkv", timestamps)
    ordered = [frame.luma for frame in VideoReader(path)]
    reader = SeekingReader(path)
    assert reader.counts
    assert len(reader) == len(ordered) == 9
    moved = list(range(20, 29))  # a walk moves repeated timestamps on
    for _ in range(2):
        for index in (8, 0, 5, 1):
            frame = next(reader.frames(index))
            assert frame.index == index
            assert torch.equal(frame.luma, ordered[index])
        assert [frame.index for frame in reader.frames(6)] == [6, 7, 8]
        assert reader.key_before(5) == 5
        reader.follow(moved)


def test_frames_are_sought_again_once_a_walk_says_that_every_timestamp_is_a_packets(tmp_path: Path) -> None:
    reader = SeekingReader(write_stamped(tmp_path / "film.mkv", [0, 1, 1, 2, 3]))
    assert reader.counts
    reader.follow([0, 42, 83, 125])  # in milliseconds; the two alike were fields of one frame, say
    assert not reader.counts
    assert len(reader) == 4
