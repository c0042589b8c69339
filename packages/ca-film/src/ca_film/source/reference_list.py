"""Reference lists: TOML files that name stills and the parts of a film that they are for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ca_film.errors import FilmError
from ca_film.options import StillBinding
from ca_film.tables import read_table

__all__ = ["expand_lists", "read_reference_list"]

_KEYS = {"file", "frame", "shots", "frames"}


def read_reference_list(path: Path) -> list[StillBinding]:
    """Read a list of stills.

    Each `[[still]]` has a `file`, beside the list unless its path is absolute, and may have `frame` (the frame it is),
    `shots` (numbers from 1, as `plan` shows them) and `frames` (pairs of a first and a last frame).

    Args:
        path: the TOML file.

    Returns:
        The stills in the order of the list; those without `shots` and `frames` are for the whole film.

    Raises:
        FilmError: if it cannot be read or says something else.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "refs.toml"
        >>> _ = path.write_text('[[still]]\\nfile = "red.png"\\nshots = [2]\\nframes = [[0, 9]]\\n')
        >>> [(Path(one.still).name, one.shots, one.frames) for one in read_reference_list(path)]
        [('red.png', (2,), (range(0, 10),))]
    """
    content = read_table(path, "reference list")
    stills = content.get("still")
    if set(content) != {"still"} or not isinstance(stills, list) or not stills:
        raise FilmError(
            f"reference list {path} must hold [[still]] entries and nothing else, got {sorted(content)}"
        )
    return [_binding(path, number, entry) for number, entry in enumerate(stills, start=1)]


def expand_lists(
    paths: Sequence[Path], bindings: Sequence[StillBinding]
) -> tuple[list[Path], list[StillBinding]]:
    """Put the stills of reference lists in the place of the lists.

    Args:
        paths: stills, folders and lists.
        bindings: those that there are besides.

    Returns:
        Stills and folders, and all bindings.

    Raises:
        FilmError: as `read_reference_list`.
    """
    stills, bound = [], list(bindings)
    for path in paths:
        if path.suffix.lower() != ".toml":
            stills.append(path)
            continue
        listed = read_reference_list(path)
        stills += [Path(one.still) for one in listed]
        bound += listed
    return stills, bound


def _binding(path: Path, number: int, entry: Any) -> StillBinding:
    place = f"reference list {path}, still {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str) or set(entry) - _KEYS:
        raise FilmError(
            f"{place}: expected a file and of {', '.join(sorted(_KEYS))} what is needed, got {entry!r}"
        )
    frame, shots, frames = entry.get("frame"), entry.get("shots", []), entry.get("frames", [])
    if frame is not None and not _whole(frame):
        raise FilmError(f"{place}: frame must be a whole number, got {frame!r}")
    if not isinstance(shots, list) or not all(_whole(one) for one in shots):
        raise FilmError(f"{place}: shots must be a list of whole numbers as [1, 3], got {shots!r}")
    pairs = isinstance(frames, list) and all(
        isinstance(one, list) and len(one) == 2 and all(_whole(end) for end in one) for one in frames
    )
    if not pairs:
        raise FilmError(
            f"{place}: frames must be pairs of a first and a last frame as [[0, 119]], got {frames!r}"
        )
    ranges = [range(first, last + 1) for first, last in frames]
    return StillBinding(path.parent / entry["file"], shots=shots, frames=ranges, frame=frame)


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0
