"""Colour distribution consistency."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_frames, quantize

DISTANCES = (1, 2, 4)


def cdc(frames: Frames, distances: Sequence[int] = DISTANCES) -> Float64[Tensor, ""]:
    """Colour distribution consistency of one clip (Liu et al., TCVC): how its histograms change over time.

    `CDC = mean over d and channels of mean_i JS(h_i, h_{i+d})`, with h the 256-bin histogram of a channel of
    the 8-bit frame divided by H W, and JS the Jensen-Shannon divergence `KL(p | m) / 2 + KL(q | m) / 2`,
    natural logarithm, `m = (p + q) / 2`. Grey or frozen output scores low: read it beside the truth's.

    Args:
        frames: the whole clip, RGB "t 3 h w", uint8 or float in [0, 1] (rounded to 8 bit); more than
            max(distances) frames.
        distances: the frame distances d.

    Returns:
        Scalar in [0, log 2]; around 1e-3 for real films.

    Raises:
        ValueError: the frames are not RGB frames, or too few.

    Example:
        >>> cdc(torch.full((5, 3, 4, 4), 0.5)).item()
        0.0
    """
    check_frames("frames", frames, channels=3)
    _check_length(len(frames), distances)
    entries = _histograms(frames)
    return torch.stack([_divergence(entries[:-d], entries[d:]).mean() for d in distances]).mean()


def _check_length(frames: int, distances: Sequence[int]) -> None:
    if not distances or min(distances) < 1:
        raise ValueError(
            f"distances: expected positive frame distances, got {tuple(distances)}; "
            f"the default is {DISTANCES}"
        )
    if frames <= max(distances):
        raise ValueError(
            f"frames: expected more than {max(distances)} frames to compare frames {max(distances)} apart, "
            f"got {frames}; CDC is not defined for shorter clips"
        )


def _histograms(frames: Frames) -> Float64[Tensor, "t c 256"]:
    # int32 indices and few frames at a time: the indices of a whole clip would be eight times its bytes.
    counts = []
    for part in quantize(frames).split(4):
        planes = part.shape[0] * part.shape[1]
        first_bin = 256 * torch.arange(planes, dtype=torch.int32, device=part.device)
        bins = part.flatten(2).flatten(0, 1).int() + first_bin[:, None]
        counts.append(torch.bincount(bins.flatten(), minlength=256 * planes).view(*part.shape[:2], 256))
    return torch.cat(counts).double() / (frames.shape[-2] * frames.shape[-1])


def _divergence(p: Float64[Tensor, "n c 256"], q: Float64[Tensor, "n c 256"]) -> Float64[Tensor, "n"]:
    # As entropies, H(m) - (H(p) + H(q)) / 2: an empty bin is 0 log 0 = 0 and never 0 / 0.
    middle = (p + q) / 2
    entries = (torch.xlogy(p, p) + torch.xlogy(q, q)) / 2 - torch.xlogy(middle, middle)
    return entries.sum(-1).mean(-1)


class CDC(ClipMean):
    """`cdc` of a stream, averaged over clips.

    A clip may come in pieces; of what came, only the last max(distances) histograms are kept.

    Args:
        distances: the frame distances d.

    Example:
        >>> metric = CDC()
        >>> for piece in torch.rand(7, 3, 8, 8).split(2):
        ...     metric.update(piece)
        >>> metric.compute() > 0
        True
    """

    _sums: list[float]
    _tail: Tensor | None

    def __init__(self, distances: Sequence[int] = DISTANCES) -> None:
        self._distances = tuple(distances)
        super().__init__()

    def update(self, frames: Frames) -> None:
        """Add frames to the open clip, in their order.

        Args:
            frames: RGB frames "t 3 h w", uint8 or float in [0, 1].
        """
        check_frames("frames", frames, channels=3)
        entries = _histograms(frames)
        if self._tail is not None:
            entries = torch.cat([self._tail.to(entries.device), entries])
        seen = len(entries) - len(frames)
        for i, d in enumerate(self._distances):
            # New frames pair with the frame d before them, where there is one.
            first = max(seen, d)
            if first < len(entries):
                pairs = _divergence(entries[first - d : len(entries) - d], entries[first:])
                self._sums[i] += float(pairs.sum())
        self._tail = entries[-max(self._distances) :]
        self._frames += len(frames)

    def _clip_value(self) -> float | None:
        if self._frames == 0:
            return None
        _check_length(self._frames, self._distances)
        means = [total / (self._frames - d) for total, d in zip(self._sums, self._distances, strict=True)]
        return sum(means) / len(means)

    def _clear_clip(self) -> None:
        super()._clear_clip()
        self._sums = [0.0] * len(self._distances)
        self._tail = None
