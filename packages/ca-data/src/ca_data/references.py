"""Choice of the frames of a training sample and of its reference frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["ReferenceConfig", "choose_references", "choose_start"]


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """How references are chosen for training.

    Args:
        count: references per sample, >= 1.
        mean_age: scale of the exponential from which the age is drawn, in frames before the first, > 0.
        max_age: oldest age drawn, in frames, >= 1.
        elsewhere: probability, in [0, 1], that a reference comes from anywhere in the clip outside the sample
            instead.
        itself: probability, in [0, 1], that the references are the sample's own first frame, as in a film whose first
            frame was coloured.
        known: probability, in [0, 1], that the colours of the sample's first frame are known beforehand, as they are
            when a film is coloured on from a reference that is one of its frames.
        degraded: probability, in [0, 1], that known colours are degraded (`degrade_color`), as those of a frame far
            from its reference are.

    Raises:
        ValueError: if a field is out of range.

    Example:
        >>> ReferenceConfig(count=2).max_age
        40
    """

    count: int = 1
    mean_age: float = 12.0
    max_age: int = 40
    elsewhere: float = 0.2
    itself: float = 0.0
    known: float = 0.0
    degraded: float = 0.5

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.itself, self.known, self.degraded)):
            raise ValueError(f"references need itself, known and degraded in [0, 1], got {self}")
        if self.count < 1 or self.max_age < 1 or not self.mean_age > 0 or not 0 <= self.elsewhere <= 1:
            raise ValueError(
                f"references need count >= 1, max_age >= 1, mean_age > 0 and elsewhere in [0, 1], got {self}"
            )


def choose_start(frames: int, clip_length: int, generator: torch.Generator) -> int:
    """Choose the first frame of a sample, uniformly.

    Frame 0 is chosen only when the clip has no frame to spare: a reference should lie before the sample.

    Args:
        frames: frames in the clip.
        clip_length: frames in the sample.
        generator: source of chance.

    Returns:
        Number of the first frame.

    Raises:
        ValueError: if the clip is shorter than the sample.

    Example:
        >>> choose_start(5, 5, torch.Generator())
        0
    """
    spare = frames - clip_length
    if spare < 0:
        raise ValueError(f"a sample of {clip_length} frames does not fit a clip of {frames}; shorten it")
    if spare == 0:
        return 0
    return int(torch.randint(1, spare + 1, (1,), generator=generator))


def choose_references(
    frames: int, start: int, clip_length: int, config: ReferenceConfig, generator: torch.Generator
) -> list[int]:
    """Choose the reference frames of the sample `start .. start + clip_length - 1`.

    The age (start minus reference) has probability proportional to exp(-age / mean_age) on 1..max_age, cut
    at the clip's beginning; with probability `elsewhere` the reference is any frame outside the sample. A
    sample that begins the clip takes its own first frame, and so does any with probability `itself`. References
    differ from each other where enough frames can be chosen.

    Args:
        frames: frames in the clip.
        start: first frame of the sample.
        clip_length: frames in the sample.
        config: the distribution.
        generator: source of chance.

    Returns:
        `config.count` frame numbers.

    Raises:
        ValueError: if the sample does not lie within the clip.

    Example:
        >>> choose_references(9, 1, 8, ReferenceConfig(elsewhere=0.0), torch.Generator())
        [0]
    """
    if start < 0 or clip_length < 1 or start + clip_length > frames:
        raise ValueError(
            f"sample {start}..{start + clip_length - 1} must lie within the clip's frames 0..{frames - 1}; "
            f"change start or clip_length"
        )
    if config.itself > 0.0 and float(torch.rand(1, generator=generator)) < config.itself:
        return [start] * config.count
    age = start - torch.arange(frames, dtype=torch.float64)
    before = torch.exp(-age.clamp(min=0.0) / config.mean_age) * ((age >= 1) & (age <= config.max_age))
    if start == 0:
        before[0] = 1.0
    outside = ((age > 0) | (age <= -clip_length)).double()
    elsewhere = config.elsewhere if bool(outside.any()) else 0.0
    weights = (1.0 - elsewhere) * before / before.sum()
    if elsewhere > 0.0:
        weights = weights + elsewhere * outside / outside.sum()
    few = int((weights > 0).sum()) < config.count
    chosen: list[int] = torch.multinomial(
        weights, config.count, replacement=few, generator=generator
    ).tolist()
    return chosen
