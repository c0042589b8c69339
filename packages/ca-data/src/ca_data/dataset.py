"""Training samples of clips: the same sample for the same (seed, epoch, index) in any worker and run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ca_data.augment import (
    AugmentConfig,
    add_lightness_noise,
    choose_window,
    cut_out,
    degrade_color,
    draw_uniform,
    shift_hue,
    weaken_color,
)
from ca_data.cache import ClipCache
from ca_data.color import normalize_lab, rgb_to_lab
from ca_data.frames import Clip
from ca_data.references import ReferenceConfig, choose_references, choose_start
from ca_data.resize import resize
from ca_data.seeding import sample_generator

__all__ = ["ClipDataset", "Sample"]


class Sample(TypedDict):
    """One training sample, which PyTorch's default collation stacks.

    `lightness` `t 1 h w` in [-1, 1] (the input, noisy when augmented); `ab` `t 2 h w`, ab/110 (the answer);
    `references` `m 3 h w` normalised Lab; `clip` its name; `start` the number of the sample's first frame;
    `known` whether the colours of the first frame are given beforehand, and `known_ab` `2 h w` what is given of
    them. A clip run backwards begins at `start` and counts down.
    """

    lightness: Float[Tensor, "t 1 h w"]
    ab: Float[Tensor, "t 2 h w"]
    references: Float[Tensor, "m 3 h w"]
    clip: str
    start: int
    known: Bool[Tensor, ""]
    known_ab: Float[Tensor, "2 h w"]


class ClipDataset:
    """Training samples, one random sample of every clip per epoch; a loader asks for (index, epoch).

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
        >>> from ca_data import SyntheticClip
        >>> data = ClipDataset([SyntheticClip(0, frames=6, size=(32, 48))], clip_length=3, crop_size=(16, 24))
        >>> sample = data.sample(0, epoch=0)
        >>> sample["ab"].shape, sample["references"].shape
        (torch.Size([3, 2, 16, 24]), torch.Size([1, 3, 16, 24]))
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

    def __len__(self) -> int:
        return len(self.clips)

    def preload(self) -> None:
        """Decode all clips now; with cache "memory", workers forked later share them."""
        self._store.preload()

    def sample(self, index: int, epoch: int) -> Sample:
        """The sample of one clip in one epoch.

        Args:
            index: number of the clip, 0..len - 1.
            epoch: >= 0.

        Returns:
            The sample.

        Raises:
            IndexError: if there is no such clip.
            ValueError: if the epoch is negative, or the clip cannot be decoded or is smaller than the crop.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} does not exist, expected 0..{len(self) - 1}")
        generator = sample_generator(self.seed, epoch, index)
        augment = self.augment or _NOTHING
        frames, chosen = self._choose_frames(len(self.clips[index]), augment, generator)
        pixels = self._store.read(index, frames + chosen)
        pixels = self._crop(pixels, len(frames), augment, generator)
        lab = normalize_lab(rgb_to_lab(pixels))
        lightness, ab, references = _vary(lab, len(frames), augment, generator)
        known = _happens(self.references.known, generator)
        degraded = known and _happens(self.references.degraded, generator)
        return {
            "lightness": lightness,
            "ab": ab,
            "references": references,
            "clip": self.clips[index].name,
            "start": frames[0],
            "known": torch.tensor(known),
            "known_ab": degrade_color(ab[0], generator) if degraded else ab[0],
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
        self,
        pixels: UInt8[Tensor, "n 3 h w"],
        frames: int,
        augment: AugmentConfig,
        generator: torch.Generator,
    ) -> UInt8[Tensor, "n 3 h2 w2"]:
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


_NOTHING = AugmentConfig(
    flip=0.0, reverse=0.0, hue_shift_degrees=0.0, color_scale=(1.0, 1.0), noise=0.0, weaken=0.0
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
    lab: Float[Tensor, "n 3 h w"], frames: int, augment: AugmentConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "t 1 h w"], Float[Tensor, "t 2 h w"], Float[Tensor, "m 3 h w"]]:
    """Vary colour and noise of clip and references, which lie one after the other in `lab`."""
    degrees = draw_uniform((-augment.hue_shift_degrees, augment.hue_shift_degrees), generator)
    scale = draw_uniform(augment.color_scale, generator)
    shifted = augment.hue_shift == 1.0 or _happens(augment.hue_shift, generator)
    if shifted and (degrees != 0.0 or scale != 1.0):
        lab = torch.cat((lab[:, :1], shift_hue(lab[:, 1:], degrees, scale)), dim=1)
    lightness, ab, references = lab[:frames, :1], lab[:frames, 1:], lab[frames:]
    if augment.noise > 0.0:
        lightness = add_lightness_noise(lightness, augment.noise, generator)
    references = weaken_color(references, augment.weaken, augment.weaken_scale, generator)
    return lightness.contiguous(), ab.contiguous(), references.contiguous()
