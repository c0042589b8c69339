"""What a user may choose, and how the work talks back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ca_infer.dating import StillMatcher
from ca_infer.film import Film, Survey
from ca_infer.mux import StreamChoice
from ca_infer.references import Reference
from ca_infer.rendering import Look

__all__ = ["ColorizeOptions", "Tell"]


@dataclass(frozen=True)
class ColorizeOptions:
    """What the command line says about one film.

    Args:
        references: files and folders of colour stills.
        weights: a shipped name, a file or a hub id; None for the shipped default.
        size: budget of pixels for the network, as height and width.
        device: where the network runs.
        look: how strong the colours are.
        overwrite: whether an output that is there may be replaced.
        restart: whether kept work is thrown away.
        codec: encoder of a video, None for the default.
        crf: its constant quality.
        pixel_format: its storage.
        png_depth: bits of PNG files, 8 or 16.
        streams: which streams of the source come along.
        rate: pictures per second of a folder of frames that becomes a video.
        find_cuts: whether to look for cuts.
        cuts: numbers of the pictures that begin a shot, in place of looking for them.
        report: whether to write a coverage report beside the output.
        segment: most pictures between two points from which the work can go on.
    """

    references: tuple[Path, ...]
    weights: str | None = None
    size: tuple[int, int] = (224, 384)
    device: str = "auto"
    look: Look = field(default_factory=Look)
    overwrite: bool = False
    restart: bool = False
    codec: str | None = None
    crf: int | None = None
    pixel_format: str | None = None
    png_depth: int = 8
    streams: StreamChoice = field(default_factory=StreamChoice)
    rate: Fraction = Fraction(24)
    find_cuts: bool = True
    cuts: tuple[int, ...] | None = None
    report: bool = False
    segment: int = 240

    def survey(self, film: Film, references: Sequence[Reference] = ()) -> Survey:
        """Look through a film, cut it where the user says, and find the pictures that undated stills belong to."""
        matcher = StillMatcher(references, film.format)
        survey = film.survey(find_cuts=self.find_cuts and self.cuts is None, watch=matcher)
        survey.dates = matcher.finish()
        if self.cuts is not None:
            survey.cuts = sorted({cut for cut in self.cuts if 0 < cut < len(survey)})
        film.follow(survey)
        return survey


class Tell:
    """What the work says while it goes on; this one says nothing."""

    def stage(self, name: str, total: int | None) -> None:
        """A new stage begins, of so many pictures if that is known."""

    def advance(self, count: int = 1) -> None:
        """So many pictures are done."""

    def note(self, line: str) -> None:
        """Something to know now rather than at the end."""
