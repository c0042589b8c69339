"""Films of a batch: where they are found, which stills are theirs, and the name each gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions
from ca_film.output.encoding import VIDEO_SUFFIXES
from ca_film.project.folder import SUFFIX, is_project
from ca_film.source.scans import FRAME_SUFFIXES

__all__ = [
    "FILM_SUFFIXES",
    "BatchFilm",
    "film_with_own",
    "films_in",
    "find_films",
    "free_name",
    "is_address",
    "output_name",
    "own_references",
]

FILM_SUFFIXES = (
    *VIDEO_SUFFIXES,
    ".avi",
    ".mpg",
    ".mpeg",
    ".m2v",
    ".ts",
    ".m2ts",
    ".mts",
    ".wmv",
    ".flv",
    ".ogv",
    ".dv",
    ".3gp",
)
"""Endings of the files that are films where a folder of films is given; a film named by itself may have any."""


@dataclass(frozen=True)
class BatchFilm:
    """A film to be coloured, and how.

    Args:
        source: a video file, a folder of frames or a project of the studio; with a cluster, an fsspec address as well.
        options: as for `colorize`.
        name: wanted for the output, in the batch's folder.
    """

    source: str
    options: ColorizeOptions
    name: str


def find_films(paths: Sequence[str | Path], options: ColorizeOptions) -> list[BatchFilm]:
    """Films behind paths: each path itself, or, of a folder of films, those that lie in it.

    A folder that holds pictures is one film, its frames. Of any other folder the video files, the projects and the
    folders of frames in it are films; deeper ones are not looked for. A film named twice is taken once.

    Args:
        paths: files, folders and, for a cluster, fsspec addresses, whose `*` are filled in.
        options: for all of them; `references` is narrowed down by `own_references`.

    Returns:
        The films, folders in the order of their names.

    Raises:
        FilmError: if a path does not exist or a folder holds no film.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.mp4", "a.avi", "notes.txt"):
        ...     (folder / name).touch()
        >>> [film.name for film in find_films([folder], ColorizeOptions())]
        ['a.mp4', 'b.mp4']
    """
    found = dict.fromkeys(source for path in paths for source in _films_of(str(path)))
    return [film_with_own(source, options) for source in found]


def film_with_own(source: str, options: ColorizeOptions) -> BatchFilm:
    """A film with its own name and its own references."""
    return BatchFilm(source, own_references(source, options), output_name(source))


def is_address(path: str) -> bool:
    """Whether a path is an fsspec address.

    Example:
        >>> is_address("s3://library/film.mp4"), is_address("library/film.mp4")
        (True, False)
    """
    return "://" in path


def output_name(source: str) -> str:
    """Name of a film's output: the film's own, with an ending that can be written.

    Example:
        >>> [output_name(name) for name in ("reels/a.mov", "b.avi", "frames", "c.mp4.coloralign")]
        ['a.mov', 'b.mp4', 'frames', 'c.mp4']
    """
    name = Path(source.rstrip("/").rsplit("/", 1)[-1].removesuffix(SUFFIX))
    if not name.suffix or (not is_address(source) and Path(source).is_dir() and not is_project(source)):
        return name.name
    return name.name if name.suffix.lower() in VIDEO_SUFFIXES else f"{name.stem}.mp4"


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The wanted name, or the first of `name-2`, `name-3`, ... that is free; case does not tell names apart.

    Example:
        >>> free_name("film.mp4", ["FILM.mp4", "film-2.mp4"])
        'film-3.mp4'
    """
    used = {name.casefold() for name in taken}
    stem, suffix = Path(wanted).stem, Path(wanted).suffix
    name, number = wanted, 2
    while name.casefold() in used:
        name, number = f"{stem}-{number}{suffix}", number + 1
    return name


def own_references(source: str, options: ColorizeOptions) -> ColorizeOptions:
    """Options whose references are those of one film.

    A folder of references in which there is a folder, or a list, of the film's name (`reel.mp4` or `reel`, `reel.toml`)
    stands for that alone; any other path is for every film.

    Args:
        source: the film.
        options: those of the batch.

    Returns:
        The options for this film.
    """
    name = source.rstrip("/").rsplit("/", 1)[-1].removesuffix(SUFFIX)
    given = options.references
    stills: list[str | Path] = []
    for one in [given] if isinstance(given, str | Path) else given:
        if is_address(str(one)):
            stills.append(str(one))
            continue
        path = Path(one)
        own = [path / name, path / Path(name).stem]
        lists = [path / f"{name}.toml", path / f"{Path(name).stem}.toml"]
        named = [one for one in own if one.is_dir()] + [one for one in lists if one.is_file()]
        stills.append(named[0] if named else path)
    return replace(options, references=tuple(stills))


def _films_of(path: str) -> list[str]:
    if is_address(path):
        return _addresses(path)
    place = Path(path)
    if not place.is_dir() or is_project(place) or _holds_frames(place):
        return [path]
    found = films_in(place)
    if not found:
        raise FilmError(
            f"folder {path} holds neither frames nor films, which end in {', '.join(FILM_SUFFIXES)}; check the path"
        )
    return found


def films_in(folder: Path) -> list[str]:
    """The films that lie in a folder, in the order of their names; hidden ones are none."""
    return sorted(
        str(entry) for entry in folder.iterdir() if not entry.name.startswith(".") and _is_film(entry)
    )


def _is_film(entry: Path) -> bool:
    if entry.is_dir():
        return is_project(entry) or _holds_frames(entry)
    return entry.suffix.lower() in FILM_SUFFIXES


def _holds_frames(folder: Path) -> bool:
    return any(entry.suffix.lower() in FRAME_SUFFIXES for entry in folder.iterdir())


def _addresses(path: str) -> list[str]:
    if "*" not in path:
        return [path]
    import fsspec

    system, inner = fsspec.core.url_to_fs(path)
    found = sorted(system.unstrip_protocol(one) for one in system.glob(inner))
    if not found:
        raise FilmError(f"address {path} fits nothing; check it")
    return found
