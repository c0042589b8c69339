"""Colouring a project: the network on stretches, nearest first, each frame there to be seen as soon as it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from ca_model import for_inference
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.network.lightness import network_lightness
from ca_film.network.painter import Painter
from ca_film.network.selection import Selection
from ca_film.network.weights import LoadedModel, choose_device, load_weights
from ca_film.output.rendering import paled
from ca_film.output.work import file_signature
from ca_film.project.folder import ProjectFolder
from ca_film.project.kept import GrowingColors, KeptColors, StretchColors, checksum, from_codes, to_codes
from ca_film.project.model import Project, Still
from ca_film.project.stretches import Stretch, mixture, plan_stretches
from ca_film.source.film import Film, FilmFormat, Frame
from ca_film.source.geometry import network_size
from ca_film.source.references import Reference, prepare_references, without_grey
from ca_film.source.survey import Survey, flashes_within

__all__ = ["Colorist", "FrameColors", "Lightness", "color_stretches", "read_still"]

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
        project: as it stands; the attribute takes a changed one.
        film: its film.
        device: where the network runs: `auto`, or a device torch knows.

    Raises:
        FilmError: if weights or device are not there.
    """

    def __init__(self, folder: ProjectFolder, project: Project, film: Film, device: str = "auto") -> None:
        self.folder, self._project = folder, project
        self.size = network_size(film.format.shown_size, project.size, film.format.shown_pixel_aspect)
        self.loaded: LoadedModel = load_weights(project.weights)
        self._model = for_inference(self.loaded.model).to(choose_device(device))
        self._painters: dict[tuple[str, ...], Painter] = {}
        self._growing: dict[str, GrowingColors] = {}
        self._covered: dict[str, UInt8[np.ndarray, " t"]] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        self._flashes: tuple[int, ...] = ()
        self._budget, self._form = project.size, film.format
        fixed = {"film": _content(film), "weights": self.loaded.digest, "size": str(self.size)}
        self.kept = KeptColors(folder.kept, fixed, folder.path)

    @property
    def project(self) -> Project:
        """The project as it stands."""
        return self._project

    @project.setter
    def project(self, project: Project) -> None:
        self._project = project
        self.kept.flashes = frozenset(self.flashes)

    def follow(self, survey: Survey) -> None:
        """Take the flashes that a survey found: the network sees the frame before in their place."""
        self._flashes = tuple(survey.flashes)
        self.kept.flashes = frozenset(self.flashes)

    @property
    def flashes(self) -> list[int]:
        """Flashes, but for those that a shot of the project begins with."""
        return flashes_within([shot.start for shot in self.project.shots], self._flashes)

    def source(self, index: int) -> int:
        """Number of the frame that the network sees in the place of one: of a flash the one before it."""
        while index in self.kept.flashes:
            index -= 1
        return index

    def shown_ab(
        self, index: int, colors: FrameColors, lightness: Callable[[int], Float[Tensor, "1 h w"]]
    ) -> Float[Tensor, "2 h w"]:
        """ab/110 of a frame at the network's size as it is shown: of a flash paled.

        Args:
            index: number of the frame.
            colors: what the network says about it.
            lightness: gives the lightness of a frame at the network's size.
        """
        source = self.source(index)
        return paled(colors.ab, lightness(index), None if source == index else lightness(source))

    def stretches(self, total: int) -> list[Stretch]:
        """All stretches of the project."""
        return plan_stretches(self.project, total)

    def tidy(self, total: int) -> None:
        """Remove kept colours that no shot needs, once there are too many (see `KeptColors.tidy`)."""
        self.kept.tidy(self.stretches(total))

    def missing(self, total: int, near: int = 0) -> list[Stretch]:
        """Stretches that are not coloured yet, nearest first."""
        missing = [stretch for stretch in self.stretches(total) if not self.kept.has(stretch)]
        return sorted(missing, key=lambda stretch: _distance(near, stretch.frames))

    def colors(self, index: int, stretches: Sequence[Stretch]) -> FrameColors | None:
        """Colours of a frame as far as they are made; None where they are not, or the frame stays grey."""
        found = [(self._colors(stretch), share) for stretch, share in mixture(index, stretches)]
        parts = [(colors, share) for colors, share in found if colors is not None and colors.has(index)]
        if not parts:
            return None
        whole = sum(share for _, share in parts) or 1.0
        ab = torch.stack([colors.ab(index) * (share / whole) for colors, share in parts]).sum(dim=0)
        confidence = [colors.confidence(index) * (share / whole) for colors, share in parts]
        return FrameColors(ab, torch.stack(confidence).sum(dim=0))

    def covered(self, total: int) -> UInt8[np.ndarray, " t"]:
        """Mean confidence of every frame of the film, 255 for 1; 0 where nothing is made."""
        covered = np.zeros(total, np.uint8)
        for stretch in self.stretches(total):
            part = slice(stretch.frames.start, stretch.frames.stop)
            covered[part] = np.maximum(covered[part], self._covered_in(stretch))
        return covered

    def _covered_in(self, stretch: Stretch) -> UInt8[np.ndarray, " t"]:
        name = self.kept.name(stretch)
        if name in self._covered:
            return self._covered[name]
        colors = self._colors(stretch)
        if colors is None:
            return np.zeros(len(stretch.frames), np.uint8)
        values = colors.covered()
        if not isinstance(colors, GrowingColors):
            self._covered[name] = values
        return values

    def _colors(self, stretch: Stretch) -> StretchColors | None:
        growing = self._growing.get(self.kept.name(stretch))
        return growing or self.kept.get(stretch)

    def reference(self, still: Still) -> Reference:
        """A still as the network takes it."""
        key = (still.file, self.kept.digest(still))
        if key not in self._references:
            self._references[key] = replace(
                read_still(self.folder.path / still.file, self._budget, self._form), frame=None
            )
        return replace(self._references[key], frame=still.frame)

    def see(self, film: Film, frame: Frame) -> UInt16[np.ndarray, "1 h w"]:
        """What the network sees of a frame: upright, small, as 16-bit codes of its lightness."""
        return to_codes(network_lightness(film, frame, self.size))

    def low(self, codes: UInt16[np.ndarray, "1 h w"]) -> Float[Tensor, "1 h w"]:
        """Lightness, L/50 - 1, of what the network sees."""
        return from_codes(codes)

    def read_ab(self, picture: Path) -> Float[Tensor, "2 h w"]:
        """ab/110 of a picture at the network's size."""
        ab = prepare_references([picture], self.project.size)[0].network_ab(self.size)
        return ab if isinstance(ab, Tensor) else ab[0]

    def run(self, stretch: Stretch, lightness: Lightness) -> Generator[int, None, None]:
        """Colour a stretch and keep it; between two frames the caller may do something else, or stop.

        Args:
            stretch: which.
            lightness: gives the codes of a frame, which of a flash are asked for that of the frame before it.

        Yields:
            Numbers of the frames, in the order of work; `colors` has each from then on.
        """
        seen: dict[int, int] = {}

        def look() -> Iterator[Float[Tensor, "1 h w"]]:
            for index in stretch.order:
                codes = lightness(self.source(index), backward=stretch.backward)
                seen[index] = checksum(codes)
                yield from_codes(codes)

        given = {}
        if stretch.anchor is not None:
            given[stretch.order[0]] = self.reference(stretch.anchor).network_ab(self.size)
        name = self.kept.name(stretch)
        painter, growing = self._painter_of(stretch.stills), self.kept.grow(stretch, self.size)
        self._growing[name] = growing
        try:
            for index, predicted in zip(
                stretch.order, painter.paint(look(), stretch.order, given), strict=True
            ):
                growing.put(index, predicted.ab, predicted.confidence, seen.pop(index))
                yield index
            growing.finish()
        finally:
            del self._growing[name]
            growing.abandon()

    def propose(self, stills: Sequence[Still], lightness: Float[Tensor, "1 h w"]) -> FrameColors:
        """Colour a single frame from stills, without anything before it; nothing is kept.

        Args:
            stills: at least one.
            lightness: what the network sees.

        Returns:
            Its colours.
        """
        predicted = next(iter(self._painter_of(stills).paint([lightness], range(0, 1), {})))
        return FrameColors(predicted.ab, predicted.confidence)

    def _painter_of(self, stills: Sequence[Still]) -> Painter:
        key = tuple(self.kept.digest(still) for still in stills)
        if key not in self._painters:
            while len(self._painters) >= _MOST_PAINTERS:
                self._painters.pop(next(iter(self._painters)))
            references = [self.reference(still) for still in stills]
            everywhere = Selection([(range(0, 1), tuple(range(len(references))))])
            self._painters[key] = Painter(self._model, references, everywhere)
        return self._painters[key]


def read_still(path: Path, budget: tuple[int, int], form: FilmFormat) -> Reference:
    """A still as `colorize` takes one: without black bars that keep it from the film's shape.

    Args:
        path: its file.
        budget: height and width of the network's pixel budget.
        form: of the film.

    Returns:
        The reference; its frame is what its name says.

    Raises:
        FilmError: if it is no picture, too large, or holds no colour.
    """
    found = prepare_references([path], budget, form=form)
    try:
        without_grey(found)
    except FilmError as error:
        raise FilmError(f"still {path.name} holds no colour; paint it, or leave its shots grey") from error
    return found[0]


def color_stretches(
    colorist: Colorist, stretches: Sequence[Stretch], lightness: Lightness, near: int
) -> Generator[int, None, None]:
    """Colour stretches together, always that whose next frame is nearest to one frame.

    Args:
        colorist: the network and the kept colours.
        stretches: which.
        lightness: gives what the network sees.
        near: number of the frame that is looked at.

    Yields:
        Numbers of the frames as they are made. A caller that closes the iterator loses the stretches not finished.
    """
    running = [(abs(stretch.order[0] - near), colorist.run(stretch, lightness)) for stretch in stretches]
    try:
        while running:
            nearest = min(range(len(running)), key=lambda place: running[place][0])
            _, frames = running[nearest]
            index = next(frames, None)
            if index is None:
                del running[nearest]
                continue
            running[nearest] = (abs(index - near), frames)
            yield index
    finally:
        for _, frames in running:
            frames.close()


def _distance(index: int, frames: range) -> int:
    return max(frames.start - index, index - frames.stop + 1, 0)


def _content(film: Film) -> str:
    """What a film is, whatever folder it lies in: a project may be moved or cloned together with its film."""
    try:
        parts = file_signature(film.path).split(" ")
    except OSError as error:
        raise FilmError(f"film {film.path} cannot be read ({error.strerror}); check the path") from error
    return hashlib.sha256(parts[-1].encode()).hexdigest()[:16] if film.path.is_file() else parts[-1]
