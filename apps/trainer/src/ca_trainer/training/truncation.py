"""Truncated backpropagation: a long clip is learnt from in segments, each going on from the state of the last."""

from dataclasses import dataclass
from typing import cast

from ca_trainer.training.batches import Batch


@dataclass(frozen=True)
class Segment:
    """Segment of a clip: frames `start` to `stop - 1`, whose first `seen` belong to the segment before.

    The network goes on from the state it was left in, exactly as the whole clip would, only without gradients to
    what came before. A network that looks `neighbors` frames ahead sees the segment's end as the clip's.
    """

    start: int
    stop: int
    seen: int

    def of(self, batch: Batch) -> Batch:
        """The segment's part of a batch."""
        return _cut(batch, slice(self.start, self.stop))

    def without_seen(self, batch: Batch) -> Batch:
        """The part of the segment's batch that is learnt from."""
        return _cut(batch, slice(self.seen, None))


def cut_clip(length: int, truncate: int, overlap: int) -> list[Segment]:
    """Cut a clip into segments of `truncate` new frames each.

    Args:
        length: frames of the clip.
        truncate: frames through which gradients run, at least `overlap`; 0: all.
        overlap: frames of the segment before that one starts with.

    Example:
        >>> cut_clip(5, 2, 1)
        [Segment(start=0, stop=2, seen=0), Segment(start=1, stop=4, seen=1), Segment(start=3, stop=5, seen=1)]
    """
    if not truncate or truncate >= length:
        return [Segment(0, length, 0)]
    later = range(truncate, length, truncate)
    return [
        Segment(0, truncate, 0),
        *(Segment(start - overlap, min(start + truncate, length), overlap) for start in later),
    ]


def _cut(batch: Batch, frames: slice) -> Batch:
    return cast(Batch, {**batch, "lightness": batch["lightness"][:, frames], "ab": batch["ab"][:, frames]})
