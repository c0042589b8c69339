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
