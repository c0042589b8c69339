"""Augmentation of colour, noise and geometry (N14), every random choice drawn from a generator handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = [
    "AugmentConfig",
    "Window",
    "add_lightness_noise",
    "choose_window",
    "degrade_color",
    "draw_uniform",
    "shift_hue",
    "weaken_color",
]

Window = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Probabilities and ranges of augmentation. Zero and (1, 1) switch a field off.

    Args:
        flip: probability of mirroring clip and references left to right.
        reverse: probability of running the clip backwards.
        skip: probability of seeing only every second frame, where the clip is long enough: twice the motion.
        crop_scale: range of the crop's side, in units of `crop_size`; the crop is resized to `crop_size`.
        apart: probability that the references are cropped elsewhere than the clip, so that they show it larger, smaller
            and not all of it, as a film shows its first frame later on.
        apart_scale: range of the side of such a crop, as `crop_scale`.
        hue_shift: probability that hue and chroma are changed at all; the other samples teach what is usual.
        hue_shift_degrees: greatest change of hue of clip and references, either way, in [0, 180].
        color_scale: range of the factor on ab of clip and references.
        noise: greatest standard deviation of the noise on the input lightness, in network units (N14).
        weaken: probability that a reference's colours are weakened (N14).
        weaken_scale: range of the factor on ab of a weakened reference.

    Raises:
        ValueError: if a field is out of range.

    Example:
        >>> AugmentConfig(noise=0.0).flip
        0.5
    """

    flip: float = 0.5
    reverse: float = 0.5
    skip: float = 0.0
    crop_scale: tuple[float, float] = (1.0, 1.0)
    apart: float = 0.0
    apart_scale: tuple[float, float] = (0.6, 1.2)
    hue_shift: float = 1.0
    hue_shift_degrees: float = 20.0
    color_scale: tuple[float, float] = (0.8, 1.2)
    noise: float = 0.02
    weaken: float = 0.2
    weaken_scale: tuple[float, float] = (0.4, 1.0)

    def __post_init__(self) -> None:
        for name in ("flip", "reverse", "skip", "apart", "hue_shift", "weaken"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")
        if not 0.0 <= self.hue_shift_degrees <= 180.0:
            raise ValueError(f"hue_shift_degrees must lie in [0, 180], got {self.hue_shift_degrees}")
        if not 0.0 <= self.noise < math.inf:
            raise ValueError(f"noise must be a finite standard deviation >= 0, got {self.noise}")
        for name, least in (
            ("crop_scale", 1e-3),
            ("apart_scale", 1e-3),
            ("color_scale", 0.0),
            ("weaken_scale", 0.0),
        ):
            value = getattr(self, name)
            if len(value) != 2 or not least <= value[0] <= value[1] < math.inf:
                raise ValueError(f"{name} must be (low, high) with {least} <= low <= high, got {value}")


def add_lightness_noise(
    lightness: Float[Tensor, "t 1 h w"], noise: float, generator: torch.Generator
) -> Float[Tensor, "t 1 h w"]:
    """Add Gaussian noise to the input lightness (N14), its strength drawn once per clip.

    Args:
        lightness: `t 1 h w` in [-1, 1].
        noise: greatest standard deviation; the clip's own is uniform in [0, noise].
        generator: source of chance.

    Returns:
        `t 1 h w` in [-1, 1].

    Example:
        >>> add_lightness_noise(torch.zeros(2, 1, 3, 5), 0.0, torch.Generator()).abs().max().item()
        0.0
    """
    strength = draw_uniform((0.0, noise), generator)
    grain = torch.randn(lightness.shape, generator=generator, dtype=lightness.dtype)
    return (lightness + grain * strength).clamp_(-1.0, 1.0)


def weaken_color(
    references: Float[Tensor, "m 3 h w"],
    probability: float,
    scale: tuple[float, float],
    generator: torch.Generator,
) -> Float[Tensor, "m 3 h w"]:
    """Scale the colours of some references toward grey (N14), each by its own factor.

    Args:
        references: `m 3 h w` normalised Lab.
        probability: chance of each reference to be weakened.
        scale: range of the factor on ab.
        generator: source of chance.

    Returns:
        `m 3 h w`, lightness unchanged.

    Example:
        >>> weaken_color(torch.ones(1, 3, 1, 1), 1.0, (0.5, 0.5), torch.Generator()).flatten().tolist()
        [1.0, 0.5, 0.5]
    """
    count = references.shape[0]
    chosen = torch.rand(count, generator=generator) < probability
    drawn = scale[0] + (scale[1] - scale[0]) * torch.rand(count, generator=generator)
    factor = torch.ones(count, 3, 1, 1, dtype=references.dtype)
    factor[:, 1:] = torch.where(chosen, drawn, torch.ones_like(drawn)).view(-1, 1, 1, 1).to(factor.dtype)
    return references * factor


def shift_hue(
    ab: Float[Tensor, "*batch 2 h w"], degrees: float, scale: float
) -> Float[Tensor, "*batch 2 h w"]:
    """Shift the hue and scale the chroma by turning the ab plane about grey.

    The result is another, equally plausible colouring of the same frames.

    Args:
        ab: `... 2 h w`, ab/110.
        degrees: angle from a toward b.
        scale: factor on chroma.

    Returns:
        `... 2 h w`, clipped to [-1, 1], the range the network can answer in.

    Example:
        >>> shifted = shift_hue(torch.tensor([0.5, 0.0]).view(2, 1, 1), 90.0, 1.0)
        >>> shifted.flatten().round(decimals=3).abs().tolist()
        [0.0, 0.5]
    """
    cos, sin = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    a, b = ab.unbind(-3)
    return torch.stack((cos * a - sin * b, sin * a + cos * b), dim=-3).clamp_(-1.0, 1.0)


def degrade_color(ab: Float[Tensor, "2 h w"], generator: torch.Generator) -> Float[Tensor, "2 h w"]:
    """Degrade colours as propagation over many frames does: displaced, blurred and faded.

    They are displaced by a smooth random field (up to about 4 pixels), blurred over up to 5 pixels, and lose up to
    a fifth of their chroma.

    Args:
        ab: `2 h w`, ab/110.
        generator: source of chance.

    Returns:
        `2 h w`.
    """
    h, w = ab.shape[-2:]
    reach = draw_uniform((0.0, 4.0), generator)
    coarse = torch.randn((1, 2, max(2, h // 24), max(2, w // 24)), generator=generator) * reach / 2
    field = F.interpolate(coarse, size=(h, w), mode="bicubic", align_corners=False)[0]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    grid = torch.stack(((2 * (x + field[0]) + 1) / w - 1, (2 * (y + field[1]) + 1) / h - 1), dim=-1)
    moved = F.grid_sample(ab[None], grid[None].to(ab.dtype), padding_mode="border", align_corners=False)
    radius = int(torch.randint(3, (1,), generator=generator))
    padded = F.pad(moved, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * radius + 1, stride=1)[0] * draw_uniform((0.8, 1.0), generator)


def choose_window(
    size: tuple[int, int], crop_size: tuple[int, int], scale: tuple[float, float], generator: torch.Generator
) -> Window:
    """Choose a random window of the crop's shape, its side `scale` times the crop's (at most the frame's).

    Args:
        size: height and width of the frame.
        crop_size: height and width of the crop.
        scale: range of the factor.
        generator: source of chance.

    Returns:
        Top, left, height and width.

    Raises:
        ValueError: if the frame is smaller than the crop.

    Example:
        >>> choose_window((8, 6), (8, 6), (1.0, 1.0), torch.Generator())
        (0, 0, 8, 6)
    """
    if size[0] < crop_size[0] or size[1] < crop_size[1]:
        raise ValueError(
            f"crop_size must fit in the frame, got {tuple(crop_size)} (h, w) in {tuple(size)}; lower it"
        )
    factor = min(draw_uniform(scale, generator), size[0] / crop_size[0], size[1] / crop_size[1])
    height, width = max(1, int(crop_size[0] * factor)), max(1, int(crop_size[1] * factor))
    top = int(torch.randint(size[0] - height + 1, (1,), generator=generator))
    left = int(torch.randint(size[1] - width + 1, (1,), generator=generator))
    return top, left, height, width


def cut_out(pixels: Shaped[Tensor, "*batch h w"], window: Window) -> Shaped[Tensor, "*batch h2 w2"]:
    """Crop frames `... h w` to a window."""
    top, left, height, width = window
    return pixels[..., top : top + height, left : left + width]


def draw_uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    """One uniform draw.

    Args:
        bounds: low and high.
        generator: source of chance.

    Returns:
        A number in [low, high).

    Example:
        >>> draw_uniform((2.0, 2.0), torch.Generator())
        2.0
    """
    return bounds[0] + (bounds[1] - bounds[0]) * float(
        torch.rand(1, generator=generator, dtype=torch.float64)
    )
