"""Pictures in, pictures out: a film coloured frame by frame for a program that wants no file."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt
from torch import Tensor

from ca_film.colorize import backward_colors, paint_windows
from ca_film.errors import FilmError
from ca_film.network.runs import Run, run_network
from ca_film.options import ColorizeOptions
from ca_film.output.rendering import Renderer
from ca_film.output.work import WorkFolder
from ca_film.progress import Progress, advance
from ca_film.session import open_session
from ca_film.source.images import write_png

__all__ = ["ColoredPicture", "Pictures", "color_pictures"]

Pictures = Iterable[UInt[np.ndarray, "h w 3"]]
"""Frames in RGB, uint8 or uint16, all of one size."""


@dataclass(frozen=True, eq=False)
class ColoredPicture:
    """A coloured frame.

    Args:
        index: its number, from 0.
        rgb: `h w 3` sRGB as the film is stored; uint8 or uint16.
        coverage: `1 h w` in [0, 1] at the network's size, upright: how well the stills cover each place.
    """

    index: int
    rgb: UInt[np.ndarray, "h w 3"]
    coverage: Float[Tensor, "1 h w"]


def color_pictures(
    film: str | Path | Pictures,
    stills: Sequence[UInt[np.ndarray, "h w 3"]] | Mapping[int, UInt[np.ndarray, "h w 3"]] = (),
    options: ColorizeOptions | None = None,
    progress: Progress | None = None,
) -> Generator[ColoredPicture, None, None]:
    """Colour a film and give its frames one after another, as they would be written to a folder.

    The frames are those that `colorize` writes, value by value. Pictures are laid into a temporary folder, since a
    film is looked through before it is coloured; nothing else is written.

    Args:
        film: a video file, a folder of frames, or the frames themselves: RGB of any kind of grey or colour, of which
            only L is looked at and kept.
        stills: colour stills beside those of `options.references`; as a mapping, by the frame that each one is.
        options: how, as for `colorize`; what is about files plays no part; `png_depth` is the depth of `rgb`.
        progress: is told how far the work is, and may cancel it.

    Yields:
        Every frame, in order.

    Raises:
        FilmError: if anything about film, stills, weights or options is wrong.
        Cancelled: if `progress` asks for it.

    Example:
        >>> from ca_data import synthetic_clip
        >>> frames = synthetic_clip(1, frames=2, size=(32, 48)).permute(0, 2, 3, 1).numpy()
        >>> made = list(color_pictures(frames, {0: frames[0]}, ColorizeOptions(cuts=[], device="cpu")))
        >>> [picture.rgb.shape for picture in made]
        [(32, 48, 3), (32, 48, 3)]
    """
    options, progress = options or ColorizeOptions(), progress or Progress()
    with tempfile.TemporaryDirectory(prefix="coloralign-") as place:
        folder = Path(place)
        source = Path(film) if isinstance(film, str | Path) else _lay_down(film, folder / "film", "film")
        references = (*options.stills, *_lay_stills(stills, folder / "stills"))
        yield from _color(source, replace(options, references=references), folder, progress)


def _color(
    source: Path, options: ColorizeOptions, folder: Path, progress: Progress
) -> Generator[ColoredPicture, None, None]:
    session = open_session(source, options)
    survey = session.survey(options.cuts, progress)
    session.select(survey, options.references_per_shot, progress)
    renderer = Renderer(session.film, session.references, options.look, keep_colors=options.keep_colors)
    for note in [*session.notes, *survey.notes]:
        progress.note(note)
    with WorkFolder(folder / "colours", {}) as work:
        backward = backward_colors(session, survey, work)
        if missing := backward.missing():
            progress.stage("colouring backward", sum(map(len, missing)))
            paint_windows(session, survey, backward, missing, progress)
        progress.stage("colouring", len(survey))
        known, painter = session.known_colors(), session.painter
        runs = [Run(shot, known) for shot in survey.shots]
        with closing(
            run_network(session.film, runs, painter, session.network_size, survey.flashes)
        ) as frames:
            for colored in frames:
                rgb = renderer.rgb(replace(colored, ab=backward.blend(colored)), options.png_depth)
                yield ColoredPicture(colored.frame.index, rgb.transpose(1, 2, 0), colored.confidence)
                advance(progress)


def _lay_stills(
    stills: Sequence[UInt[np.ndarray, "h w 3"]] | Mapping[int, UInt[np.ndarray, "h w 3"]], folder: Path
) -> tuple[Path, ...]:
    """Stills as files; the names of a mapping's say which frames they are."""
    if not len(stills):
        return ()
    if not isinstance(stills, Mapping):
        return (_lay_down(stills, folder, "stills"),)
    folder.mkdir()
    for frame, still in stills.items():
        write_png(_checked(still, f"stills[{frame}]"), folder / f"still_{frame:06d}.png")
    return (folder,)


def _lay_down(pictures: Pictures, folder: Path, name: str) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        write_png(_checked(picture, f"{name}[{number}]"), folder / f"{number}.png")
    return folder


def _checked(picture: UInt[np.ndarray, "h w 3"], name: str) -> UInt[np.ndarray, "3 h w"]:
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype not in (np.uint8, np.uint16):
        raise FilmError(
            f"{name} must be `h w 3` of uint8 or uint16, got {'x'.join(map(str, array.shape))} of {array.dtype}; "
            "convert it"
        )
    return array.transpose(2, 0, 1)
