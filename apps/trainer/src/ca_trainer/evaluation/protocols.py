"""Evaluation protocols: which frames of a clip are references, and which are scored.

Two protocols, both with the L channel of every frame as input:

* ``first-frame``: the reference is frame 0 in true colour; frames 1..N-1 are scored.
* ``every-K``: frames 0, K, 2K, ... are references, as a restorer would colour stills at intervals. The frames
  a system was given are not scored, so that a smaller K is not rewarded for copying its own input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["EvaluationProtocol", "parse_protocol"]


@dataclass(frozen=True)
class EvaluationProtocol:
    """Protocol that divides a clip into reference frames and scored frames.

    Args:
        reference_every: distance of the references in frames (>= 2), or None for frame 0 alone.

    Raises:
        ValueError: if ``reference_every`` is below 2 (no frame would be left to score).

    Example:
        >>> EvaluationProtocol().name, EvaluationProtocol(20).name
        ('first-frame', 'every-20')
        >>> EvaluationProtocol(3).reference_frames(8), EvaluationProtocol(3).scored_frames(8)
        ([0, 3, 6], [1, 2, 4, 5, 7])
    """

    reference_every: int | None = None

    def __post_init__(self) -> None:
        if self.reference_every is not None and self.reference_every < 2:
            raise ValueError(
                f"reference_every: expected a number of frames of at least 2, got {self.reference_every}; "
                "with 1 every frame would be a reference and none be scored"
            )

    @property
    def name(self) -> str:
        """``first-frame`` or ``every-K``."""
        return "first-frame" if self.reference_every is None else f"every-{self.reference_every}"

    @property
    def description(self) -> str:
        """One sentence for reports."""
        references = (
            "Frame 0 is the only reference"
            if self.reference_every is None
            else f"A true-colour reference every {self.reference_every} frames"
        )
        return (
            f"{references}; input L of each frame; output that L and predicted ab, 8-bit sRGB; "
            "scored on every frame that is not a reference; mean over frames, then over clips"
        )

    def reference_frames(self, count: int) -> list[int]:
        """Numbers of the reference frames of a clip of ``count`` frames."""
        if count < 2:
            raise ValueError(f"clip: expected at least 2 frames, got {count}; frame 0 is the reference")
        return [0] if self.reference_every is None else list(range(0, count, self.reference_every))

    def scored_frames(self, count: int) -> list[int]:
        """Numbers of the scored frames: all but the references."""
        references = set(self.reference_frames(count))
        return [frame for frame in range(count) if frame not in references]


def parse_protocol(name: str, reference_every: int | None = None) -> EvaluationProtocol:
    """Read a protocol from the command line's words.

    Args:
        name: ``first-frame``, ``every-K`` (then ``reference_every`` gives K) or for example ``every-20``.
        reference_every: K, frames.

    Returns:
        The protocol.

    Raises:
        ValueError: for another name, a K missing, contradicting or given to ``first-frame``.

    Example:
        >>> parse_protocol("every-K", 20) == parse_protocol("every-20") == EvaluationProtocol(20)
        True
    """
    numbered = re.fullmatch(r"every-(\d+|[kK])", name)
    if name == "first-frame":
        if reference_every is not None:
            raise ValueError("reference-every: expected with protocol every-K only, got protocol first-frame")
        return EvaluationProtocol()
    if numbered is None:
        raise ValueError(f"protocol: expected first-frame or every-K, got {name!r}")
    digits = numbered.group(1)
    if digits in "kK":
        if reference_every is None:
            raise ValueError("protocol: every-K needs its K, got none; add --reference-every 20")
        return EvaluationProtocol(reference_every)
    if reference_every not in (None, int(digits)):
        raise ValueError(f"reference-every: expected {digits} to agree with {name}, got {reference_every}")
    return EvaluationProtocol(int(digits))
