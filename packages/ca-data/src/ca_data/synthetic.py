"""Clips made from scikit-image's bundled photographs: the data set that is always there.

A camera moves over one photograph; soft-edged pieces of others move over it; the light changes slowly. Only
the photographs inside scikit-image's wheel are used, opened as files, so nothing is ever downloaded.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.resources import files

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ca_data.color import lab_to_rgb, rgb_to_lab, to_uint8
from ca_data.images import read_image
from ca_data.seeding import sample_generator

__all__ = ["SyntheticClip", "synthetic_clip"]

# Photographs with colours worth copying: of the others bundled, most are grey, hubble_deep_field and retina
# nearly of one colour.
_SCENES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
_TEXTURES = (*_SCENES, "ihc.png")


def synthetic_clip(
    seed: int, frames: int = 16, size: tuple[int, int] = (112, 192)
) -> UInt8[Tensor, "t 3 h w"]:
    """Make one clip in colour.

    Args:
        seed: >= 0; the same seed gives the same clip.
        frames: number of frames, >= 1.
        size: height and width in pixels, each >= 16.

    Returns:
        `t 3 h w` uint8 sRGB.

    Raises:
        ValueError: if an argument is out of range, or scikit-image's photographs are missing.

    Example:
        >>> synthetic_clip(0, frames=2, size=(32, 48)).shape
        torch.Size([2, 3, 32, 48])
    """
    if seed < 0 or frames < 1 or min(size) < 16:
        raise ValueError(
            f"synthetic_clip needs seed >= 0, frames >= 1 and both sides >= 16, got seed {seed}, "
            f"frames {frames}, size {tuple(size)}"
        )
    generator = sample_generator(seed)
    order = torch.randperm(len(_SCENES), generator=generator).tolist()
    clip = _background(_SCENES[order[0]], frames, size, generator)
    others = [name for name in _TEXTURES if name != _SCENES[order[0]]]
    for _ in range(int(torch.randint(1, 4, (1,), generator=generator))):
        name = others[int(torch.randint(len(others), (1,), generator=generator))]
        color, alpha = _moving_object(name, frames, size, generator)
        clip = clip * (1.0 - alpha) + color * alpha
    return to_uint8(_change_light(clip, generator))


class SyntheticClip:
    """A synthetic clip behind the same calls as a folder of frames.

    Args:
        seed: >= 0.
        frames: number of frames.
        size: height and width in pixels.

    Example:
        >>> clip = SyntheticClip(3, frames=4, size=(32, 48))
        >>> len(clip), clip.name, clip.read([0, 2]).shape
        (4, 'synthetic-3', torch.Size([2, 3, 32, 48]))
    """

    def __init__(self, seed: int, frames: int = 16, size: tuple[int, int] = (112, 192)) -> None:
        self.seed, self.frames, self.size = seed, frames, size

    def __len__(self) -> int:
        return self.frames

    @property
    def name(self) -> str:
        """`synthetic-` and the seed."""
        return f"synthetic-{self.seed}"

    @property
    def signature(self) -> str:
        """The arguments, as text."""
        return f"synthetic {self.seed} {self.frames} {self.size}"

    def read(self, indices: object = None) -> UInt8[Tensor, "t 3 h w"]:
        """Make the clip and give the frames asked for, all when `indices` is None.

        Raises:
            ValueError: if seed, frames or size are out of range.
        """
        clip = synthetic_clip(self.seed, self.frames, self.size)
        return clip if indices is None else clip[list(indices)]  # type: ignore[call-overload]


@lru_cache(maxsize=16)
def _photograph(name: str) -> Float[Tensor, "1 3 h w"]:
    """A bundled photograph as Lab."""
    try:
        photograph = read_image(str(files("skimage") / "data" / name))
    except ValueError as error:
        raise ValueError(f"scikit-image's own photograph {name} is missing; reinstall it") from error
    return rgb_to_lab(photograph)[None]


def _background(name: str, frames: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """The photograph seen by a moving camera, `t 3 h w` in [0, 1]."""
    # The photograph is brought to a scale where a frame covers part of it, leaving room for the camera to move.
    photograph = _photograph(name)
    cover = _uniform(generator, 0.5, 0.75)
    scale = max(size[0] / photograph.shape[2], size[1] / photograph.shape[3]) / cover
    scene = _recolor(_scaled(photograph, scale), generator, degrees=20.0)
    theta = _camera(frames, size, (scene.shape[2], scene.shape[3]), generator)
    grid = F.affine_grid(theta, [frames, 3, *size], align_corners=False)
    moved = F.grid_sample(
        scene.expand(frames, -1, -1, -1),
        grid,
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )
    return lab_to_rgb(moved).clamp(0.0, 1.0)


def _camera(
    frames: int, size: tuple[int, int], scene: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "t 2 3"]:
    """Pan, zoom and rotation over time, as affine matrices for `affine_grid`."""
    time = torch.linspace(-0.5, 0.5, frames) if frames > 1 else torch.zeros(1)
    angle = math.radians(_uniform(generator, -8.0, 8.0)) * time + math.radians(_uniform(generator, -4.0, 4.0))
    zoom = torch.exp(_uniform(generator, -0.18, 0.18) * time)
    # About one to two pixels a frame at most: the room left in the photograph bounds it as well.
    room_y, room_x = 1.0 - size[0] / scene[0], 1.0 - size[1] / scene[1]
    travel = min(1.0, frames / 16.0)
    x = room_x * (_uniform(generator, -0.35, 0.35) + travel * _uniform(generator, -0.8, 0.8) * time)
    y = room_y * (_uniform(generator, -0.35, 0.35) + travel * _uniform(generator, -0.8, 0.8) * time)
    return _affine(angle, zoom, (x, y), size, scene)


def _affine(
    angle: Tensor,
    zoom: Tensor,
    center: tuple[Tensor, Tensor],
    size: tuple[int, int],
    scene: tuple[int, int],
) -> Float[Tensor, "t 2 3"]:
    """From output to input in [-1, 1]: one output pixel is `zoom` photograph pixels, turned by `angle`."""
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    height, width = size
    first = torch.stack((cos * width / scene[1], -sin * height / scene[1], center[0]), dim=-1)
    second = torch.stack((sin * width / scene[0], cos * height / scene[0], center[1]), dim=-1)
    return torch.stack((first, second), dim=1)


def _moving_object(
    name: str, frames: int, size: tuple[int, int], generator: torch.Generator
) -> tuple[Float[Tensor, "t 3 h w"], Float[Tensor, "t 1 h w"]]:
    """A soft-edged piece of a photograph on a smooth path: its colour and its coverage."""
    side = int(min(size) * _uniform(generator, 0.35, 0.75))
    piece = _recolor(_piece(name, side, generator), generator, degrees=180.0)
    patch = torch.cat((lab_to_rgb(piece).clamp(0.0, 1.0), torch.ones(1, 1, side, side)), dim=1)
    patch = patch * _blob(side, generator)
    time = torch.linspace(-0.5, 0.5, frames) if frames > 1 else torch.zeros(1)
    travel = min(1.5, frames / 16.0)
    path = []
    for _ in range(2):
        start, speed = _uniform(generator, -0.6, 0.6), travel * _uniform(generator, -0.9, 0.9)
        sway, phase = _uniform(generator, 0.0, 0.08), _uniform(generator, 0.0, 2.0 * math.pi)
        path.append(start + speed * time + sway * torch.sin(2.0 * math.pi * time * travel + phase))
    angle = math.radians(_uniform(generator, -40.0, 40.0)) * travel * time
    zoom = torch.exp(_uniform(generator, -0.3, 0.3) * time)
    # The path is where the object is in the frame; the sampling matrix needs the inverse.
    theta = _affine(angle, zoom, (torch.zeros_like(time), torch.zeros_like(time)), size, (side, side))
    theta[:, :, 2] = -(theta[:, :, :2] @ torch.stack(path, dim=-1)[..., None]).squeeze(-1)
    grid = F.affine_grid(theta, [frames, 4, *size], align_corners=False)
    moved = F.grid_sample(patch.expand(frames, -1, -1, -1), grid, padding_mode="zeros", align_corners=False)
    alpha = moved[:, 3:]
    return moved[:, :3] / alpha.clamp(min=1e-4), alpha


def _piece(name: str, side: int, generator: torch.Generator) -> Float[Tensor, "1 3 s s"]:
    """A random square of a photograph, brought to `side` pixels."""
    photograph = _photograph(name)
    window = int(min(photograph.shape[2:]) * _uniform(generator, 0.35, 0.7))
    top = int(torch.randint(photograph.shape[2] - window + 1, (1,), generator=generator))
    left = int(torch.randint(photograph.shape[3] - window + 1, (1,), generator=generator))
    square = photograph[:, :, top : top + window, left : left + window]
    return F.interpolate(square, (side, side), mode="bilinear", antialias=True)


def _blob(side: int, generator: torch.Generator) -> Float[Tensor, "1 1 s s"]:
    """A round, lobed mask with an edge a few pixels soft."""
    axis = torch.linspace(-1.0, 1.0, side)
    y, x = torch.meshgrid(axis, axis * _uniform(generator, 1.0, 1.6), indexing="ij")
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    edge = torch.full_like(angle, 0.72)
    for lobes in (2, 3, 5):
        phase = _uniform(generator, 0.0, 2.0 * math.pi)
        edge = edge + _uniform(generator, 0.0, 0.16 / lobes**0.5) * torch.sin(lobes * angle + phase)
    softness = _uniform(generator, 0.8, 2.0) * 2.0 / side
    return torch.sigmoid((edge - radius) / softness)[None, None]


def _recolor(lab: Tensor, generator: torch.Generator, *, degrees: float) -> Tensor:
    """Turn and scale the colours, so that a network cannot learn the few photographs by heart."""
    angle = math.radians(_uniform(generator, -degrees, degrees))
    scale = _uniform(generator, 0.8, 1.4)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    lightness, a, b = lab.unbind(1)
    return torch.stack((lightness, cos * a - sin * b, sin * a + cos * b), dim=1)


def _change_light(clip: Tensor, generator: torch.Generator) -> Tensor:
    """Slow changes of brightness and of colour temperature, and a soft shadow that wanders."""
    frames, _, height, width = clip.shape
    time = torch.linspace(0.0, 1.0, frames)
    phase, turns = _uniform(generator, 0.0, 2.0 * math.pi), _uniform(generator, 0.2, 0.8) * frames / 16.0
    wave = torch.sin(2.0 * math.pi * turns * time + phase).view(-1, 1, 1, 1)
    warmth = _uniform(generator, -0.03, 0.03)
    tint = torch.tensor([1.0 + warmth, 1.0, 1.0 - warmth]).view(1, 3, 1, 1)
    gain = 1.0 + _uniform(generator, 0.0, 0.12) * wave
    y = torch.linspace(-1.0, 1.0, height).view(1, 1, -1, 1)
    x = torch.linspace(-1.0, 1.0, width).view(1, 1, 1, -1)
    drift = (_uniform(generator, -1.0, 1.0) + _uniform(generator, -1.0, 1.0) * time).view(-1, 1, 1, 1)
    shadow = 1.0 - _uniform(generator, 0.0, 0.25) * torch.exp(-((x - drift) ** 2 + y**2) / 0.5)
    return clip * gain * shadow * (1.0 + (tint - 1.0) * wave)


def _scaled(photograph: Tensor, scale: float) -> Tensor:
    height, width = round(photograph.shape[2] * scale), round(photograph.shape[3] * scale)
    return F.interpolate(photograph, (height, width), mode="bilinear", antialias=True)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))
