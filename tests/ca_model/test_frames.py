"""Windows of frames, padding, and frames picked out of a batch."""

import pytest
import torch
from ca_model.frames import crop, frame_of, lookahead_windows, pad


@pytest.mark.parametrize(
    ("frames", "neighbors", "expected"),
    [
        ("", 2, []),
        ("abc", 0, ["a", "b", "c"]),
        ("a", 2, ["aaaaa"]),
        ("ab", 2, ["aaabb", "aabbb"]),
        ("abcd", 2, ["aaabc", "aabcd", "abcdd", "bcddd"]),
    ],
)
def test_windows_by_hand(frames: str, neighbors: int, expected: list[str]) -> None:
    assert ["".join(window) for window in lookahead_windows(frames, neighbors)] == expected


@pytest.mark.parametrize("neighbors", [0, 1, 2])
def test_windows_go_on_as_if_never_stopped(neighbors: int) -> None:
    whole = list(lookahead_windows("abcdefg", neighbors))
    assert list(lookahead_windows("abcdefg"[3 - neighbors :], neighbors, resumes=True)) == whole[3:]


def test_padding_repeats_the_border_and_cropping_undoes_it() -> None:
    x = torch.rand(2, 3, 17, 32)
    padded = pad(x)
    assert padded.shape == (2, 3, 32, 32)
    assert torch.equal(padded[:, :, 31], x[:, :, 16])
    assert torch.equal(crop(padded, (17, 32)), x)
    assert pad(padded) is padded


def test_a_frame_is_picked_out_of_everything() -> None:
    frames = torch.arange(2 * 3 * 5).view(6, 5)
    one, (two, nothing) = frame_of([frames, [frames[:, :1], None]], 2, 1)
    assert torch.equal(one, frames[[1, 4]])
    assert torch.equal(two, frames[[1, 4], :1])
    assert nothing is None
