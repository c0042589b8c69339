"""One film, its references and the network, checked and opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ca_infer.film import Film, Survey
from ca_infer.folder_film import FolderFilm
from ca_infer.geometry import network_size
from ca_infer.options import ColorizeOptions
from ca_infer.painter import Painter
from ca_infer.references import Reference, prepare_references
from ca_infer.video_film import VideoFilm
from ca_infer.weights import LoadedModel, find_device, load_weights

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

    def date_references(self, survey: Survey) -> None:
        """Give undated references the numbers of the pictures that the survey found them to be."""
        for number, reference in enumerate(self.references):
            frame = survey.dates.get(reference.digest)
            if reference.frame is None and frame is not None:
                self.references[number] = replace(reference, frame=frame)

    def known_colors(self) -> dict[int, Float[Tensor, "2 h w"]]:
        """Colours of the pictures that dated references belong to, at the network's size."""
        size = self.network_size
        return {ref.frame: ref.network_ab(size) for ref in self.references if ref.frame is not None}


def open_session(source: Path, options: ColorizeOptions) -> Session:
    """Open film, references, device and weights, in this order.

    Args:
        source: a video file or a folder of frames.
        options: what the user chose.

    Returns:
        The session.

    Raises:
        InferError: if one of them is wrong.
    """
    film = open_film(source, options.rate)
    references = prepare_references(options.references, options.size)
    device = find_device(options.device)
    return Session(film, references, load_weights(options.weights), device, options.size)


def open_film(source: Path, rate: Fraction = Fraction(24)) -> Film:
    """Open a video file or a folder of frames.

    Args:
        source: the path.
        rate: pictures per second of a folder.

    Returns:
        The film.

    Raises:
        InferError: if there is nothing to colourise.
    """
    return FolderFilm(source, rate) if source.is_dir() else VideoFilm(source)
