"""Colouring a project: the network on stretches, those nearest to what one looks at first, each frame shown as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from ca_film._shared import choose_device
from ca_film.errors import FilmError
from ca_film.network.painter import Painter
from ca_film.network.weights import LoadedModel, load_weights
from ca_film.output.work import file_signature
from ca_film.project.folder import ProjectFolder
from ca_film.project.kept import KeptColors, checksum, from_codes
from ca_film.project.model import Project, Still
from ca_film.project.stretches import Stretch, mixture, plan_stretches
from ca_film.source.film import Film
from ca_film.source.geometry import network_size
from ca_film.source.references import Reference, prepare_references

__all__ = ["Colorist", "FrameColors", "Lightness", "color_stretches"]

_MOST_PAINTERS = 8


@dataclass(frozen=True)
class FrameColors:
    """What the network says about one frame, as it is kept.

    Args:
        ab: `2 h w`, ab/110, of half precision.
        confidence: `1 h w` in [0, 1].
    """

    ab: Float[Tensor, "2 h w"]
    confidence: Float[Tensor, "1 h w"]


class Lightness(Protocol):
    """Gives what the network sees of a frame, as 16-bit codes."""

    def __call__(self, index: int, *, backward: bool) -> UInt16[np.ndarray, "1 h w"]:
        """Codes of a frame; `backward` says that the frames before it will be asked for next."""


class Colorist:
    """The network, a project's references and its kept colours.

    Args:
        folder: the project's.
        project: as it stands; `update` takes a changed one.
        film: its film.
        device: where the network runs: `auto`, or a device torch knows.

    Raises:
        FilmError: if weights or device are not there.
    """

    def __init__(self, folder: ProjectFolder, project: Project, film: Film, device: str = "auto") -> None:
        self.folder, self.project = folder, project
        self.size = network_size(film.format.shown_size, project.size, film.format.shown_pixel_aspect)
        self.loaded: LoadedModel = load_weights(project.weights)
        self._device = choose_device(device)
        self._painters: dict[tuple[str, ...], Painter] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        fixed = {"film": _content(film), "weights": self.loaded.digest, "size": str(self.size)}
        self.kept = KeptColors(folder.kept, fixed, folder.path)

    def stretches(self, total: int) -> list[Stretch]:
        """All stretches of the project."""
        return plan_stretches(self.project, total)

    def missing(self, total: int, near: int = 0) -> list[Stretch]:
        """Stretches that are not coloured yet, nearest first."""
        missing = [stretch for stretch in self.stretches(total) if not self.kept.has(stretch)]
        return sorted(missing, key=lambda stretch: _distance(near, stretch.frames))

    def colors(self, index: int, stretches: Sequence[Stretch]) -> FrameColors | None:
        """Kept colours of a frame; None where they are not made yet, or the frame stays grey."""
        parts = mixture(index, stretches)
        kept = [(self.kept.get(stretch), share) for stretch, share in parts]
        if not kept or any(colors is None for colors, _ in kept):
            return None
        ab = sum(colors.ab(index) * share for colors, share in kept if colors is not None)
        confidence = sum(colors.confidence(index) * share for colors, share in kept if colors is not None)
        assert isinstance(ab, Tensor)
        assert isinstance(confidence, Tensor)
        return FrameColors(ab, confidence)

    def reference(self, still: Still) -> Reference:
        """A still as the network takes it."""
        key = (still.file, self.kept.digest(still))
        if key not in self._references:
            found = prepare_references([self.folder.path / still.file], self.project.size)[0]
            self._references[key] = replace(found, frame=None)
        return replace(self._references[key], frame=still.frame)

    def run(
        self, stretch: Stretch, lightness: Lightness, show: Callable[[int, FrameColors], None] | None = None
    ) -> Iterator[int]:
        """Colour a stretch and keep it; between two frames the caller may do something else, or stop.

        Args:
            stretch: which.
            lightness: gives what the network sees.
            show: is told each frame as it is made.

        Yields:
            Numbers of the frames, in the order of work.
        """
        seen: dict[int, int] = {}

        def look() -> Iterator[Float[Tensor, "1 h w"]]:
            for index in stretch.order:
                codes = lightness(index, backward=stretch.backward)
                seen[index] = checksum(codes)
                yield from_codes(codes)

        given = {}
        if stretch.anchor is not None:
            given[0] = self.reference(stretch.anchor).network_ab(self.size)
        ab: list[Tensor] = []
        confidence: list[UInt8[Tensor, "h w"]] = []
        for index, predicted in zip(stretch.order, self._painter(stretch).paint(look(), given), strict=True):
            ab.append(predicted.ab.half())
            confidence.append((predicted.confidence[0] * 255.0).round().clamp(0, 255).byte())
            if show:
                show(index, FrameColors(ab[-1].float(), confidence[-1][None].float() / 255.0))
            yield index
        step = -1 if stretch.backward else 1
        self.kept.keep(stretch, ab[::step], confidence[::step], [seen[index] for index in stretch.frames])

    def _painter(self, stretch: Stretch) -> Painter:
        key = tuple(self.kept.digest(still) for still in stretch.stills)
        if key not in self._painters:
            while len(self._painters) >= _MOST_PAINTERS:
                self._painters.pop(next(iter(self._painters)))
            references = [self.reference(still) for still in stretch.stills]
            with torch.no_grad():
                self._painters[key] = Painter(self.loaded.model, references, self._device)
        return self._painters[key]


def color_stretches(
    colorist: Colorist,
    stretches: Sequence[Stretch],
    lightness: Lightness,
    near: int,
    show: Callable[[int, FrameColors, Stretch], None],
    stopped: Callable[[], bool],
) -> bool:
    """Colour stretches together, always that whose next frame is nearest to one frame.

    Args:
        colorist: the network and the kept colours.
        stretches: which.
        lightness: gives what the network sees.
        near: number of the frame that is looked at.
        show: is told each frame as it is made.
        stopped: asked after every frame; what is not finished is lost then.

    Returns:
        Whether all were finished.
    """
    running = []
    for stretch in stretches:

        def tell(index: int, colors: FrameColors, stretch: Stretch = stretch) -> None:
            show(index, colors, stretch)

        running.append([abs(stretch.order[0] - near), stretch, colorist.run(stretch, lightness, tell)])
    while running:
        nearest = min(running, key=lambda entry: entry[0])
        try:
            nearest[0] = abs(next(nearest[2]) - near)
        except StopIteration:
            running.remove(nearest)
        if stopped():
            return False
    return True


def _distance(index: int, frames: range) -> int:
    return max(frames.start - index, index - frames.stop + 1, 0)


def _content(film: Film) -> str:
    """What a film is, whatever folder it lies in: a project may be moved or cloned together with its film."""
    try:
        parts = file_signature(film.path).split(" ")
    except OSError as error:
        raise FilmError(f"film {film.path} cannot be read ({error.strerror}); check the path") from error
    return hashlib.sha256(parts[-1].encode()).hexdigest()[:16] if film.path.is_file() else parts[-1]
