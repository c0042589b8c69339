"""Session: one film, its references and the network, checked and opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import torch
from ca_model import ColorAlignNet, GivenColors, for_inference

from ca_film.network.painter import Painter
from ca_film.network.selection import Selection, select_references
from ca_film.network.weights import LoadedModel, choose_device, load_weights
from ca_film.options import ColorizeOptions
from ca_film.progress import Progress
from ca_film.source.film import Film
from ca_film.source.folder import FolderFilm
from ca_film.source.geometry import network_size
from ca_film.source.piece import PieceFilm
from ca_film.source.reference_list import expand_lists
from ca_film.source.references import Reference, prepare_references, without_grey
from ca_film.source.scans import FRAME_SUFFIXES
from ca_film.source.survey import Survey, survey_film
from ca_film.source.video import VideoFilm

__all__ = ["Session", "open_film", "open_session"]


@dataclass
class Session:
    """A film with everything that colouring it needs.

    Args:
        film: the film.
        references: its stills.
        loaded: the network.
        device: where it runs.
        budget: height and width of `--size`.
        selection: which references the network sees where, once `select` has chosen them.
        notes: what the user should know about the references.
    """

    film: Film
    references: list[Reference]
    loaded: LoadedModel
    device: torch.device
    budget: tuple[int, int]
    selection: Selection = field(default_factory=lambda: Selection(()))
    notes: list[str] = field(default_factory=list)

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width at which the network sees the film."""
        form = self.film.format
        return network_size(form.shown_size, self.budget, form.shown_pixel_aspect)

    @cached_property
    def painter(self) -> Painter:
        """The network with the references' tokens, made when first needed."""
        return Painter(self._model, self.references, self.selection)

    @cached_property
    def _model(self) -> ColorAlignNet:
        return for_inference(self.loaded.model).to(self.device)

    def survey(self, cuts: Sequence[int] | None, progress: Progress) -> Survey:
        """Survey the film, and adopt what was found."""
        if isinstance(self.film, PieceFilm) and cuts is not None:
            cuts = [cut - self.film.numbers.start for cut in cuts]
        survey = survey_film(self.film, cuts, self.references, progress)
        self.adopt(survey)
        return survey

    def adopt(self, survey: Survey) -> None:
        """Decode as the survey did, and anchor the references where it found them in the film."""
        self.film.careful = bool(survey.problems)
        for number, reference in enumerate(self.references):
            frame = survey.corrected.get(str(number), reference.frame)
            if reference.frame is None:
                frame = survey.anchors.get(reference.digest)
            self.references[number] = replace(reference, frame=frame)
        for number in sorted(survey.left_out, reverse=True):
            del self.references[number]

    def select(self, survey: Survey, most: int, progress: Progress) -> None:
        """Choose the references that the network sees in each part of the film."""
        self.selection = select_references(
            self.film, survey.shots, self.references, self._model, self.budget, most, progress
        )

    def known_colors(self) -> Mapping[int, GivenColors]:
        """Colours of the frames that references are anchored to, at the network's size, each read when looked up."""
        return _AnchoredColors(self.references, self.network_size)


class _AnchoredColors(Mapping[int, GivenColors]):
    def __init__(self, references: Sequence[Reference], size: tuple[int, int]) -> None:
        self._anchored = {ref.frame: ref for ref in references if ref.frame is not None}
        self._size = size

    def __getitem__(self, frame: int) -> GivenColors:
        return self._anchored[frame].network_ab(self._size)

    def __contains__(self, frame: object) -> bool:
        return frame in self._anchored

    def __iter__(self) -> Iterator[int]:
        return iter(self._anchored)

    def __len__(self) -> int:
        return len(self._anchored)


def open_session(source: str | Path, options: ColorizeOptions) -> Session:
    """Open film, references, device and weights, in this order.

    Args:
        source: a video file or a folder of frames.
        options: what the user chose.

    Returns:
        The session.

    Raises:
        FilmError: if one of them is wrong.
    """
    film = open_film(source, options.rate)
    if options.is_piece:
        film = PieceFilm(film, options.start, options.end)
    stills, bindings = expand_lists(options.stills, options.bindings)
    given = prepare_references(stills, options.size, bindings, options.still_pixels, film.format)
    references, notes = without_grey(given)
    notes += [
        f"reference {one.path.name} has black bars, which are taken off" for one in references if one.bars
    ]
    if isinstance(film, PieceFilm):
        references = [film.local_reference(one) for one in references]
    device = choose_device(options.device)
    return Session(film, references, load_weights(options.weights), device, options.size, notes=notes)


def open_film(source: str | Path, rate: Fraction = Fraction(24)) -> Film:
    """Open a video file or a folder of frames.

    Args:
        source: the path.
        rate: frames per second of a folder.

    Returns:
        The film.

    Raises:
        FilmError: if there is nothing to colourise.
    """
    path = Path(source)
    is_picture = path.suffix.lower() in FRAME_SUFFIXES and path.is_file()
    return FolderFilm(path, rate) if path.is_dir() or is_picture else VideoFilm(path)
