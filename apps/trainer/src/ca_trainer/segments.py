"""Truncated backpropagation: a long clip is learnt from in segments, each going on from the colors of the last."""

from dataclasses import dataclass
from typing import cast

import torch
from ca_model import ColorOutput, Given
from jaxtyping import Float
from torch import Tensor

from ca_trainer.batches import Batch


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop - 1` of a clip, whose first `known` the segment before has colored.

    A network's recurrent state is the previous frame with its colors, so a segment that is given them goes on exactly
    as the whole clip would, only without gradients to what came before. A network that looks `neighbors` frames ahead
    sees the segment's end as the clip's.
    """

    start: int
    stop: int
    known: int

    def of(self, batch: Batch) -> Batch:
        """The segment's part of a batch."""
        frames = slice(self.start, self.stop)
        part = {**batch, "lightness": batch["lightness"][:, frames], "ab": batch["ab"][:, frames]}
        return cast(Batch, part)

    def without_known(self, batch: Batch) -> Batch:
        """The part of the segment's batch that is learnt from."""
        part = {**batch, "lightness": batch["lightness"][:, self.known :], "ab": batch["ab"][:, self.known :]}
        return cast(Batch, part)

    def go_on(self, batch: Batch, colors: Float[Tensor, "b _t 2 h w"]) -> Given:
        """What the segment is given of the colors of the frames before it."""
        ab = torch.zeros_like(batch["ab"])
        ab[:, : self.known] = colors[:, -self.known :]
        mask = torch.zeros(ab.shape[:2], dtype=torch.bool, device=ab.device)
        mask[:, : self.known] = True
        return Given(ab, mask)


def cut_clip(length: int, truncate: int, overlap: int) -> list[Segment]:
    """Cut a clip into segments of `truncate` new frames each.

    Args:
        length: frames of the clip.
        truncate: frames through which gradients run; 0: all.
        overlap: frames of the segment before that one starts with, at least 1.

    Example:
        >>> cut_clip(5, 2, 1)
        [Segment(start=0, stop=2, known=0), Segment(start=1, stop=4, known=1), Segment(start=3, stop=5, known=1)]
    """
    if not truncate or truncate >= length:
        return [Segment(0, length, 0)]
    later = range(truncate, length, truncate)
    ahead = [Segment(max(0, s - overlap), min(s + truncate, length), min(s, overlap)) for s in later]
    return [Segment(0, truncate, 0), *ahead]


def without_known(output: ColorOutput, known: int) -> ColorOutput:
    """A network's output without the first `known` frames."""
    auxiliary = {name: value[:, known:] for name, value in output.auxiliary.items()}
    return ColorOutput(output.ab[:, known:], output.confidence[:, known:], auxiliary)
