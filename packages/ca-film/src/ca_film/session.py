"""Session: one film, its references and the network, checked and opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ca_film.network.painter import Painter
from ca_film.network.weights import LoadedModel, choose_device, load_weights
from ca_film.options import ColorizeOptions
from ca_film.progress import Progress
from ca_film.source.film import Film
from ca_film.source.folder import FolderFilm
from ca_film.source.geometry import network_size
from ca_film.source.references import Reference, prepare_references
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
    """

    film: Film
    references: list[Reference]
    loaded: LoadedModel
    device: torch.device
    budget: tuple[int, int]

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width at which the network sees the film."""
        form = self.film.format
        return network_size(form.shown_size, self.budget, form.shown_pixel_aspect)

    @cached_property
    def painter(self) -> Painter:
        """The network with the references' tokens, made when first needed."""
        return Painter(self.loaded.model, self.references, self.device)

    def survey(self, cuts: Sequence[int] | None, progress: Progress) -> Survey:
        """Survey the film, and adopt what was found."""
        survey = survey_film(self.film, cuts, self.references, progress)
        self.adopt(survey)
        return survey

    def adopt(self, survey: Survey) -> None:
        """Decode as the survey did, and anchor the references that it found in the film."""
        self.film.careful = bool(survey.problems)
        for number, reference in enumerate(self.references):
            frame = survey.anchors.get(reference.digest)
            if reference.frame is None and frame is not None:
                self.references[number] = replace(reference, frame=frame)

    def known_colors(self) -> dict[int, Float[Tensor, "2 h w"]]:
        """Colours of the frames that references are anchored to, at the network's size."""
        size = self.network_size
        return {ref.frame: ref.network_ab(size) for ref in self.references if ref.frame is not None}


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
    references = prepare_references(options.stills, options.size)
    device = choose_device(options.device)
    return Session(film, references, load_weights(options.weights), device, options.size)


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
    return FolderFilm(path, rate) if path.is_dir() else VideoFilm(path)
