"""The nodes: a film as images, images coloured, a film file coloured.

ComfyUI calls the method that `FUNCTION` names, with what `INPUT_TYPES` lists, and takes a tuple of `RETURN_TYPES`. An
IMAGE is `b h w 3` float32 in [0, 1], a MASK `b h w`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ca_data import network_to_rgb
from ca_film import ColorizeOptions, Look, Progress, color_pictures, colorize, open_film
from jaxtyping import Float, UInt
from torch import Tensor

_LARGEST = 1 << 31


class LoadFilm:
    """Read frames of a film, or of a folder of frames, as images."""

    CATEGORY = "ColorAlign"
    FUNCTION = "load"
    RETURN_TYPES = ("IMAGE", "FLOAT", "STRING")
    RETURN_NAMES = ("images", "frames_per_second", "notes")
    DESCRIPTION = "Reads frames of a video file or a folder: grey as the network sees it."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What the node is given."""
        return {
            "required": {
                "path": ("STRING", {"default": "", "tooltip": "a video file or a folder of frames"}),
                "first": (
                    "INT",
                    {"default": 0, "min": 0, "max": _LARGEST, "tooltip": "number of the first frame"},
                ),
                "count": ("INT", {"default": 0, "min": 0, "max": _LARGEST, "tooltip": "0: to the end"}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, path: str, **_: Any) -> str:
        """Differs when the file does."""
        return _stamp(path)

    def load(self, path: str, first: int, count: int) -> tuple[Float[Tensor, "b h w 3"], float, str]:
        """Read the frames.

        Args:
            path: of the film.
            first: number of the first frame, from 0.
            count: how many; 0 for all to the end.

        Returns:
            The frames as the film shows them, turned upright, in grey; frames per second; notes.

        Raises:
            FilmError: if it is no film, or has no such frame.
        """
        film = open_film(path)
        frames = islice(film.frames(first), count or None)
        shown = [_shown(film.lightness(frame), film.format.coding.bits) for frame in frames]
        if not shown:
            raise ValueError(
                f"first: expected a frame of {path}, got {first}, which lies behind its end; lower it"
            )
        return torch.stack(shown), float(film.format.rate), "\n".join([*film.notes, *film.problems])


class ColorImages:
    """Colour a batch of images, taken as a film, from stills."""

    CATEGORY = "ColorAlign"
    FUNCTION = "color"
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("images", "coverage", "notes")
    DESCRIPTION = (
        "Colours images from colour stills. Coverage is high where a still shows what the image shows."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What the node is given."""
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "the film; only its lightness is looked at"}),
                "stills": ("IMAGE", {"tooltip": "colour stills, of any size if they come one batch a size"}),
                **_choices(),
            },
            "optional": {
                "still_frames": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "numbers of the frames that the stills are, as 0,120; empty: none",
                    },
                ),
                "cuts": (
                    "STRING",
                    {"default": "", "tooltip": "frames that begin a shot, as 120,348, or none; empty: found"},
                ),
            },
        }

    def color(
        self,
        images: Float[Tensor, "b h w 3"],
        stills: Float[Tensor, "n h2 w2 3"],
        weights: str,
        width: int,
        height: int,
        saturation: float,
        device: str,
        still_frames: str = "",
        cuts: str = "",
    ) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"], str]:
        """Colour the images.

        Args:
            images: `b h w 3` in [0, 1].
            stills: `n h w 3` in [0, 1].
            weights: a shipped name, a file or a hub id; empty for the default.
            width: with `height` the number of pixels that the network sees; the film's shape is kept.
            height: see there.
            saturation: factor on the colours.
            device: auto, cpu, cuda, cuda:1 or mps.
            still_frames: numbers of the frames that the stills are, with commas.
            cuts: frames that begin a shot, with commas; `none`; empty to find them.

        Returns:
            Coloured images; coverage in [0, 1], of their size; notes, one a line.

        Raises:
            FilmError: if something does not fit.
            ValueError: if a list of numbers is none.
        """
        film, notes = _codes(images), _Notes()
        given = _codes(stills)
        numbers = _numbers("still_frames", still_frames)
        if numbers and len(numbers) != len(given):
            raise ValueError(
                f"still_frames: expected {len(given)} numbers, one a still, got {len(numbers)}; add or take away"
            )
        options = _options(weights, width, height, saturation, device)
        chosen = ColorizeOptions(
            **options,
            png_depth=8 if film.dtype == np.uint8 else 16,
            cuts=[] if cuts.strip() == "none" else _numbers("cuts", cuts) or None,
        )
        named = dict(zip(numbers, given, strict=True)) if numbers else list(given)
        size = (images.shape[1], images.shape[2])
        colored, coverage = [], []
        for picture in color_pictures(film, named, chosen, notes):
            colored.append(torch.from_numpy(picture.rgb.astype(np.float32) / np.iinfo(picture.rgb.dtype).max))
            coverage.append(F.interpolate(picture.coverage[None], size=size, mode="bilinear")[0, 0])
        return torch.stack(colored), torch.stack(coverage), "\n".join(notes.lines)


class ColorFilm:
    """Colour a film file into another, with its sound and everything else of it."""

    CATEGORY = "ColorAlign"
    FUNCTION = "color"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("path", "notes")
    DESCRIPTION = "Colours a whole film, frame by frame from the disk; sound and timestamps are kept."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What the node is given."""
        return {
            "required": {
                "path": (
                    "STRING",
                    {"default": "", "tooltip": "the film: a video file or a folder of frames"},
                ),
                "stills": ("STRING", {"default": "", "tooltip": "a still, or a folder of them"}),
                "out": (
                    "STRING",
                    {"default": "", "tooltip": "the coloured film: a video file, or a folder for PNG"},
                ),
                **_choices(),
                "overwrite": ("BOOLEAN", {"default": False}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, path: str, stills: str, out: str, **_: Any) -> str:
        """Differs when film, stills or output do; arguments as `color`."""
        return " ".join(_stamp(one) for one in (path, stills, out))

    def color(
        self,
        path: str,
        stills: str,
        out: str,
        weights: str,
        width: int,
        height: int,
        saturation: float,
        device: str,
        overwrite: bool,
    ) -> tuple[str, str]:
        """Colour the film; arguments as `ca_film.colorize` and `ColorizeOptions` have them.

        Raises:
            FilmError: if something is wrong; no output exists then.
        """
        chosen = ColorizeOptions(
            references=stills, overwrite=overwrite, **_options(weights, width, height, saturation, device)
        )
        result = colorize(path, out, chosen, _Notes())
        return str(result.out), "\n".join([*result.notes, *result.problems])


class _Notes(Progress):
    """Collects notes, and shows the progress where ComfyUI runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._total, self._make = 0, _progress_bar()
        self._bar: Any = None

    def stage(self, name: str, total: int | None) -> None:
        del name
        self._bar = self._make(total) if self._make and total else None

    def advance(self, count: int = 1) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def note(self, line: str) -> None:
        self.lines.append(line)


def _progress_bar() -> Callable[[int], Any] | None:
    """ComfyUI's own bar; None outside of it."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        return None
    return ProgressBar


def _choices() -> dict[str, tuple[Any, ...]]:
    return {
        "weights": ("STRING", {"default": "", "tooltip": "a safetensors file; empty: those that ship"}),
        "width": ("INT", {"default": 384, "min": 32, "max": 4096, "step": 16}),
        "height": ("INT", {"default": 224, "min": 32, "max": 4096, "step": 16}),
        "saturation": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 4.0, "step": 0.05}),
        "device": (["auto", "cpu", "cuda", "mps"], {"default": "auto"}),
    }


def _options(weights: str, width: int, height: int, saturation: float, device: str) -> dict[str, Any]:
    return {
        "weights": weights or None,
        "size": (height, width),
        "look": Look(saturation=saturation),
        "device": device,
    }


def _codes(images: Float[Tensor, "b h w 3"]) -> UInt[np.ndarray, "b h w 3"]:
    """Images as integers: 8 bits where nothing more is in them, else 16."""
    unit = images.detach().cpu().float().clamp(0.0, 1.0).numpy()
    eight = np.rint(unit * 255.0).astype(np.uint8)
    if np.array_equal(eight.astype(np.float32) / np.float32(255.0), unit):
        return eight
    return np.rint(unit * 65535.0).astype(np.uint16)


def _shown(lightness: Float[Tensor, "1 h w"], bits: int) -> Float[Tensor, "h w 3"]:
    """Lightness as the sRGB grey that shows it, in steps of the depth that the film has."""
    most = 255.0 if bits <= 8 else 65535.0
    rgb = network_to_rgb(lightness, torch.zeros(2, *lightness.shape[-2:])).clamp(0.0, 1.0)
    return ((rgb * most).round() / most).permute(1, 2, 0).contiguous()


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(
            f"{name}: expected numbers with commas, as 0,120, got {text!r}; correct it"
        ) from None


def _stamp(path: str) -> str:
    place = Path(path)
    if not place.exists():
        return path
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return f"{path} {[(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files]}"
