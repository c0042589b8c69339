"""Clips as training samples: the same sample for the same (seed, epoch, index), whoever asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from ca_data.augment import (
    AugmentConfig,
    add_lightness_noise,
    choose_window,
    cut_out,
    draw_uniform,
    turn_color,
    weaken_color,
    wear_color,
)
from ca_data.cache import ClipCache
from ca_data.color import normalize_lab, rgb_to_lab
from ca_data.frames import Clip
from ca_data.references import ReferenceConfig, choose_references, choose_start
from ca_data.resize import resize
from ca_data.seeding import sample_generator
from ca_data.synthetic import SyntheticClip

__all__ = ["ClipDataset", "Sample", "SyntheticDataset"]


class Sample(TypedDict):
    """One training sample, which PyTorch's default collation stacks.

    `lightness` `t 1 h w` in [-1, 1] (the input, noisy when augmented); `ab` `t 2 h w`, ab/110 (the answer);
    `references` `m 3 h w` normalised Lab; `clip` its name; `start` the number of the sample's first frame;
    `reference_frames` the references' numbers; `known` whether the colours of the first frame are known beforehand,
    and `known_ab` `2 h w` what is known of them. A clip run backwards begins at `start` and counts down.
    """

    lightness: Float[Tensor, "t 1 h w"]
    ab: Float[Tensor, "t 2 h w"]
    references: Float[Tensor, "m 3 h w"]
    clip: str
    start: int
    reference_frames: Int[Tensor, " m"]
    known: Bool[Tensor, ""]
    known_ab: Float[Tensor, "2 h w"]


class ClipDataset(Dataset[Sample]):
    """One random sample of every clip per epoch.

    Args:
        clips: sources of frames, such as `list_clips` gives.
        clip_length: frames per sample, >= 1.
        crop_size: height and width of the sample, or None for whole frames.
        references: how references are chosen.
        augment: what is varied, or None for nothing (the place in time, the crop and the references stay
            random).
        seed: >= 0.
        cache: see `ClipCache`.
        size: height and width every clip is resized to first, or None to keep its own.

    Raises:
        ValueError: if there are no clips, an argument is out of range, or a clip is shorter than the sample.

    Example:
        >>> data = ClipDataset([SyntheticClip(0, frames=6, size=(32, 48))], clip_length=3, crop_size=(16, 24))
        >>> {name: tuple(value.shape) for name, value in data[0].items() if name in ("ab", "references")}
        {'ab': (3, 2, 16, 24), 'references': (1, 3, 16, 24)}
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        clip_length: int = 5,
        crop_size: tuple[int, int] | None = None,
        *,
        references: ReferenceConfig | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache: str | Path = "memory",
        size: tuple[int, int] | None = None,
    ) -> None:
        if clip_length < 1 or seed < 0:
            raise ValueError(f"clip_length must be >= 1 and seed >= 0, got {clip_length} and {seed}")
        _check_clips(clips, clip_length)
        self.clips = list(clips)
        self.clip_length = clip_length
        self.crop_size = crop_size
        self.references = references or ReferenceConfig()
        self.augment = augment
        self.seed = seed
        self._store = ClipCache(self.clips, cache, size)
        # In shared memory, so that workers that live on between epochs see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def epoch(self) -> int:
        """The epoch that `dataset[index]` draws from."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before iterating a loader, whose workers see it too.

        Args:
            epoch: >= 0.

        Raises:
            ValueError: if it is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be >= 0, got {epoch}")
        self._epoch.fill_(epoch)

    def preload(self) -> None:
        """Decode all clips now; with cache "memory", workers forked later share them."""
        self._store.preload()

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index, self.epoch)

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample of one clip in one epoch.

        Args:
            index: number of the clip, 0..len - 1.
            epoch: >= 0.

        Returns:
            The sample.

        Raises:
            IndexError: if there is no such clip.
            ValueError: if the clip cannot be decoded or is smaller than the crop.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} does not exist, expected 0..{len(self) - 1}")
        index %= len(self)
        generator = sample_generator(self.seed, epoch, index)
        augment = self.augment or _NOTHING
        frames, chosen = self._choose_frames(len(self.clips[index]), augment, generator)
        pixels = self._store.read(index, frames + chosen)
        pixels = self._crop(pixels, len(frames), augment, generator)
        lab = normalize_lab(rgb_to_lab(pixels))
        lightness, ab, references = _vary(lab, len(frames), augment, generator)
        known = _happens(self.references.known, generator)
        worn = known and _happens(self.references.worn, generator)
        return {
            "lightness": lightness,
            "ab": ab,
            "references": references,
            "clip": self.clips[index].name,
            "start": frames[0],
            "reference_frames": torch.tensor(chosen),
            "known": torch.tensor(known),
            "known_ab": wear_color(ab[0], generator) if worn else ab[0],
        }

    def _choose_frames(
        self, available: int, augment: AugmentConfig, generator: torch.Generator
    ) -> tuple[list[int], list[int]]:
        if augment.skip > 0.0 and _happens(augment.skip, generator) and available >= 2 * self.clip_length:
            first = int(torch.randint(2, (1,), generator=generator))
            frames, chosen = self._choose_from(len(range(first, available, 2)), augment, generator)
            return [first + 2 * i for i in frames], [first + 2 * i for i in chosen]
        return self._choose_from(available, augment, generator)

    def _choose_from(
        self, available: int, augment: AugmentConfig, generator: torch.Generator
    ) -> tuple[list[int], list[int]]:
        start = choose_start(available, self.clip_length, generator)
        chosen = choose_references(available, start, self.clip_length, self.references, generator)
        frames = list(range(start, start + self.clip_length))
        if _happens(augment.reverse, generator):
            # Backwards means the whole clip runs backwards: "before" stays before.
            return [available - 1 - i for i in frames], [available - 1 - i for i in chosen]
        return frames, chosen

    def _crop(
        self, pixels: Tensor, frames: int, augment: AugmentConfig, generator: torch.Generator
    ) -> Tensor:
        """Crop and mirror so many frames, and the references that lie after them."""
        if self.crop_size is not None:
            size = (pixels.shape[-2], pixels.shape[-1])
            window = choose_window(size, self.crop_size, augment.crop_scale, generator)
            parts = [(pixels, window)]
            if augment.apart > 0.0 and _happens(augment.apart, generator):
                other = choose_window(size, self.crop_size, augment.apart_scale, generator)
                parts = [(pixels[:frames], window), (pixels[frames:], other)]
            pixels = torch.cat([resize(cut_out(part, place), self.crop_size) for part, place in parts])
        return pixels.flip(-1) if _happens(augment.flip, generator) else pixels


class SyntheticDataset(ClipDataset):
    """The same samples from synthetic clips: the data set that needs no data.

    Args:
        count: number of clips, >= 1; clip i is `synthetic_clip(first_seed + i)`.
        frames: frames per clip.
        size: height and width of the clips.
        first_seed: seed of the first clip; training and validation take ranges that do not overlap.
        clip_length: frames per sample.
        crop_size: height and width of the sample, or None for whole frames.
        references: how references are chosen.
        augment: what is varied, or None.
        seed: >= 0, of the samples.
        cache: see `ClipCache`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> data = SyntheticDataset(count=2, frames=6, size=(32, 48), clip_length=3)
        >>> len(data), data[1]["lightness"].shape
        (2, torch.Size([3, 1, 32, 48]))
    """

    def __init__(
        self,
        count: int = 32,
        *,
        frames: int = 24,
        size: tuple[int, int] = (112, 192),
        first_seed: int = 0,
        clip_length: int = 5,
        crop_size: tuple[int, int] | None = None,
        references: ReferenceConfig | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache: str | Path = "memory",
    ) -> None:
        super().__init__(
            [SyntheticClip(first_seed + i, frames, size) for i in range(count)],
            clip_length,
            crop_size,
            references=references,
            augment=augment,
            seed=seed,
            cache=cache,
        )


_NOTHING = AugmentConfig(
    flip=0.0, reverse=0.0, turn_degrees=0.0, color_scale=(1.0, 1.0), noise=0.0, weaken=0.0
)


def _check_clips(clips: Sequence[Clip], clip_length: int) -> None:
    if not clips:
        raise ValueError("clips must hold at least one clip, got none; check the data folder")
    short = [clip for clip in clips if len(clip) < clip_length]
    if short:
        raise ValueError(
            f"every clip must have at least clip_length = {clip_length} frames, but {len(short)} of "
            f"{len(clips)} are shorter, such as {short[0].name} ({len(short[0])}); lower it or leave them out"
        )


def _happens(probability: float, generator: torch.Generator) -> bool:
    return draw_uniform((0.0, 1.0), generator) < probability


def _vary(
    lab: Tensor, frames: int, augment: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Vary colour and noise of clip and references, which lie one after the other in `lab`."""
    degrees = draw_uniform((-augment.turn_degrees, augment.turn_degrees), generator)
    scale = draw_uniform(augment.color_scale, generator)
    turned = augment.turn == 1.0 or _happens(augment.turn, generator)
    if turned and (degrees != 0.0 or scale != 1.0):
        lab = torch.cat((lab[:, :1], turn_color(lab[:, 1:], degrees, scale)), dim=1)
    lightness, ab, references = lab[:frames, :1], lab[:frames, 1:], lab[frames:]
    if augment.noise > 0.0:
        lightness = add_lightness_noise(lightness, augment.noise, generator)
    references = weaken_color(references, augment.weaken, augment.weaken_scale, generator)
    return lightness.contiguous(), ab.contiguous(), references.contiguous()
