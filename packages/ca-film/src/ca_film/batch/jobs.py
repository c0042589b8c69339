"""One film of a batch, whatever it is."""

from __future__ import annotations

from pathlib import Path

from ca_film.colorize import Result, colorize
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions
from ca_film.progress import Progress
from ca_film.project.export import colorize_project
from ca_film.project.folder import is_project

__all__ = ["color_film"]


def color_film(source: Path, out: Path, options: ColorizeOptions, progress: Progress) -> Result:
    """Colour a film or a project of the studio, whichever it is.

    Raises:
        FilmError: as `colorize`; if there are references beside a project, which has its own.
    """
    if not is_project(source):
        return colorize(source, out, options, progress)
    if options.stills:
        raise FilmError(
            f"the references and the project {source} both name stills; add them to the project instead"
        )
    return colorize_project(source, out, options, progress)
