"""References: colour stills made ready for the network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ca_data import ReferenceStill, load_references, normalize_lab, resize, rgb_to_lab
from jaxtyping import Float, UInt8
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.source.geometry import network_size

__all__ = ["Reference", "prepare_references"]


@dataclass(frozen=True)
class Reference:
    """A still as the network takes it; with a frame number it is an anchored reference.

    Args:
        path: where it came from.
        lab: `3 h w` network units, at the network's scale.
        frame: number of the film's frame that it is, or None.
        digest: of its pixels.
        size: height and width of the still as it was given.
    """

    path: Path
    lab: Float[Tensor, "3 h w"]
    frame: int | None
    digest: str
    size: tuple[int, int]

    def network_ab(self, size: tuple[int, int]) -> Float[Tensor, "2 h w"]:
        """Its colours at the network's size of the film."""
        return resize(self.lab[1:], size)

    def full_ab(self, size: tuple[int, int]) -> Float[Tensor, "2 h w"]:
        """Its colours at another size, read anew from the file: stills are not held at full size.

        Raises:
            FilmError: if the file changed or went away.
        """
        try:
            image = load_references([self.path])[0].image
        except (ValueError, OSError) as error:
            raise FilmError(f"still {self.path} cannot be read any more ({error}); restore it") from error
        if _digest(image) != self.digest:
            raise FilmError(f"still {self.path} changed while the film was coloured; run again")
        return resize(normalize_lab(rgb_to_lab(image))[1:], size)


def prepare_references(paths: Sequence[Path], budget: tuple[int, int]) -> list[Reference]:
    """Load stills, one at a time, and bring each to about the network's number of pixels.

    Args:
        paths: files and folders.
        budget: height and width of `--size`.

    Returns:
        The references in the order given; a still named twice is taken once.

    Raises:
        FilmError: if nothing is given, or something is missing, empty, unreadable or transparent.
    """
    if not paths:
        raise FilmError(
            "--refs must name at least one colour still or a folder of them, got none; give --refs PATH"
        )
    try:
        stills = load_references(paths)
    except (ValueError, OSError) as error:
        raise FilmError(str(error)) from error
    return [_prepare(still, budget) for still in stills]


def _prepare(still: ReferenceStill, budget: tuple[int, int]) -> Reference:
    height, width = still.image.shape[1:]
    size = network_size((height, width), budget)
    lab = normalize_lab(rgb_to_lab(resize(still.image, size)))
    return Reference(still.path, lab, still.frame, _digest(still.image), (height, width))


def _digest(image: UInt8[Tensor, "3 h w"]) -> str:
    return hashlib.sha256(str(tuple(image.shape)).encode() + image.numpy().tobytes()).hexdigest()[:16]
