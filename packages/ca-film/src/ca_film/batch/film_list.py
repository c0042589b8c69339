"""Film lists: TOML files that name films, their references and their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ca_data import parse_size

from ca_film.batch.films import BatchFilm, is_address, output_name, own_references
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions, Look
from ca_film.tables import read_table

__all__ = ["read_film_list"]

_FILM_KEYS = {"film", "references", "out", "options"}
_LOOK = {field.name for field in fields(Look)}
# What a list may say, and the TOML types it says it in.
_OPTIONS: dict[str, tuple[type, ...]] = {
    "weights": (str,),
    "size": (str,),
    "codec": (str,),
    "crf": (int,),
    "pixel_format": (str,),
    "png_depth": (int,),
    "frames": (str,),
    "rate": (str, int, float),
    "cuts": (list,),
    "report": (bool,),
    "segment": (int,),
    "references_per_shot": (int,),
    "keep_colors": (bool,),
    "cut_at_stills": (bool,),
    "still_pixels": (int,),
    "saturation": (float, int),
    "strength": (float, int),
    "compare": (bool,),
}


def read_film_list(path: Path, options: ColorizeOptions) -> list[BatchFilm]:
    """Read a list of films.

    Each `[[film]]` has a `film`, and may have `references` (stills, folders and lists of stills), `out` (a name in the
    batch's folder) and `options`; a table `[options]` is for all films. Paths are beside the list unless absolute.
    Options are named as the fields of `ColorizeOptions` and `Look`; `size` is written `"384x224"`.

    Args:
        path: the TOML file.
        options: what the list does not say; its references are for the films that name none.

    Returns:
        The films in the order of the list.

    Raises:
        FilmError: if it cannot be read or says something else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "films.toml"
        >>> _ = path.write_text('[options]\\ncrf = 18\\n[[film]]\\nfilm = "reel.avi"\\nreferences = ["red.png"]\\n')
        >>> [film] = read_film_list(path, ColorizeOptions())
        >>> film.name, film.options.crf, film.options.stills[0].name
        ('reel.mp4', 18, 'red.png')
    """
    content = read_table(path, "film list")
    entries = content.get("film")
    if set(content) - {"film", "options"} or not isinstance(entries, list) or not entries:
        raise FilmError(
            f"film list {path} must hold [[film]] entries and at most [options], got {sorted(content)}"
        )
    common = _changed(options, content.get("options", {}), f"film list {path}")
    return [_film(path, number, entry, common) for number, entry in enumerate(entries, start=1)]


def _film(path: Path, number: int, entry: Any, options: ColorizeOptions) -> BatchFilm:
    place = f"film list {path}, film {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("film"), str) or set(entry) - _FILM_KEYS:
        raise FilmError(
            f"{place}: expected a film and of {', '.join(sorted(_FILM_KEYS))} what is needed, got {entry!r}"
        )
    source = _beside(path, entry["film"])
    references, name = entry.get("references"), entry.get("out", output_name(source))
    if references is not None and not (
        isinstance(references, list) and all(isinstance(one, str) for one in references)
    ):
        raise FilmError(f'{place}: references must be a list of paths as ["stills/"], got {references!r}')
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        raise FilmError(f"{place}: out must be a name without folders, got {name!r}")
    options = _changed(options, entry.get("options", {}), place)
    if references is None:
        return BatchFilm(source, own_references(source, options), name)
    return BatchFilm(
        source, replace(options, references=tuple(_beside(path, one) for one in references)), name
    )


def _beside(path: Path, named: str) -> str:
    return named if is_address(named) else str(path.parent / named)


def _changed(options: ColorizeOptions, said: Any, place: str) -> ColorizeOptions:
    if not isinstance(said, Mapping) or (unknown := sorted(set(said) - set(_OPTIONS))):
        got = said if not isinstance(said, Mapping) else ", ".join(unknown)
        raise FilmError(f"{place}: options must be of {', '.join(sorted(_OPTIONS))}, got {got}")
    for name, value in said.items():
        if not isinstance(value, _OPTIONS[name]) or (isinstance(value, bool) and bool not in _OPTIONS[name]):
            kinds = " or ".join(kind.__name__ for kind in _OPTIONS[name])
            raise FilmError(f"{place}: option {name} must be {kinds}, got {value!r}")
    try:
        look = replace(options.look, **{name: said[name] for name in said if name in _LOOK})
        values = {name: _value(name, value) for name, value in said.items() if name not in _LOOK}
        return replace(options, look=look, **values)
    except (ValueError, ZeroDivisionError) as error:
        raise FilmError(f"{place}: {error}") from error


def _value(name: str, value: Any) -> Any:
    if name == "size":
        return parse_size(value)
    if name == "rate":
        return Fraction(str(value))
    if name == "cuts":
        if not all(type(one) is int and one >= 0 for one in value):
            raise ValueError(f"option cuts must be a list of frame numbers, got {value}")
        return tuple(value)
    return value
