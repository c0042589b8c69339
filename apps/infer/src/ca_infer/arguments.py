"""Arguments: what is typed, turned into values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ca_infer.errors import InferError

__all__ = [
    "name_outputs",
    "parse_cuts",
    "parse_place",
    "parse_range",
    "parse_rate",
    "parse_size",
    "spread_values",
]


_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)|(\d+(?:\.\d+)?)s")
_WRITTEN = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut")


def spread_values(arguments: Sequence[str], option: str) -> list[str]:
    """Let one option take several values: `--refs a b` becomes `--refs a --refs b`.

    The option parser knows only options with a fixed number of values, so the list is spread out before it
    sees it. Values end at the next argument that begins with a dash (or at `--`, which then protects what
    follows as usual). A value that itself begins with a dash can be written `--refs=-odd.png`.

    Args:
        arguments: the command line without the program's name.
        option: the long name, `--refs`.

    Returns:
        The command line with the option repeated before each of its values.

    Example:
        >>> spread_values(["colorize", "in.mp4", "--refs", "a.png", "b.png", "-o", "out.mp4"], "--refs")
        ['colorize', 'in.mp4', '--refs', 'a.png', '--refs', 'b.png', '-o', 'out.mp4']
    """
    spread: list[str] = []
    taking = False
    after_first = False
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*spread, *arguments[position:]]
        if argument.startswith("-") and argument != "-":
            taking, after_first = argument == option, False
            spread.append(argument)
        elif taking and after_first:
            spread += [option, argument]
        else:
            after_first = taking
            spread.append(argument)
    return spread


def name_outputs(sources: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Where each film goes: one to `out` itself, several into it as a folder, under their own names.

    Args:
        sources: video files, folders of frames or projects.
        out: what `-o` says.

    Returns:
        Every film with its output.

    Raises:
        InferError: if two films would go to one output, or several to one file.

    Example:
        >>> pairs = name_outputs([Path("a.mov"), Path("b.avi"), Path("frames")], Path("colored"))
        >>> [target.as_posix() for _, target in pairs]
        ['colored/a.mov', 'colored/b.mp4', 'colored/frames']
    """
    if len(sources) == 1:
        return [(sources[0], out)]
    if out.suffix:
        raise InferError(f"-o must be a folder for {len(sources)} films, got {out}; leave its ending out")
    pairs = [(source, out / _own_name(source)) for source in sources]
    names = [target.name for _, target in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InferError(f"two films would become {out / twice}; colour them one by one")
    return pairs


def _own_name(source: Path) -> str:
    """Name of an output: the film's, with an ending that can be written."""
    name = Path(source.name.removesuffix(".coloralign"))
    if not name.suffix:
        return name.name
    return name.name if name.suffix.lower() in _WRITTEN else f"{name.stem}.mp4"


def parse_size(text: str) -> tuple[int, int]:
    """Height and width, as `--size` gives them.

    Raises:
        InferError: if it reads otherwise than WIDTHxHEIGHT or a side is out of range.
    """
    from ca_data import parse_size as parse

    try:
        return parse(text)
    except ValueError as error:
        raise InferError(f"--{error}") from error


def parse_rate(text: str) -> Fraction:
    """Frames per second, as `--fps` gives them.

    Raises:
        InferError: if it is no number.

    Example:
        >>> parse_rate("24000/1001")
        Fraction(24000, 1001)
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InferError(
            f"--fps must be a number or a fraction, got '{text}'; write 25 or 24000/1001"
        ) from error


def parse_range(text: str | None) -> range | None:
    """Frame numbers, as `--range` gives them.

    Raises:
        InferError: if they are no two numbers.

    Example:
        >>> parse_range("120:480"), parse_range(None)
        (range(120, 480), None)
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.strip().isdecimal() and last.strip().isdecimal()):
        raise InferError(
            f"--range must be two frame numbers with a colon, got '{text}'; 120:480 is frames 120 to 479"
        )
    return range(int(first), int(last))


def parse_place(text: str, option: str) -> int | Fraction:
    """A place in a film, as `--start` and `--end` give it: a frame number, or a time.

    Args:
        text: a frame number (`1500`), or a time (`62.5s`, `1:02.5`, `0:01:02.5`).
        option: the option, for the error.

    Returns:
        The number, or seconds as a fraction.

    Raises:
        InferError: if it is neither.

    Example:
        >>> parse_place("1500", "--start"), parse_place("62.5s", "--start"), parse_place("1:02.5", "--end")
        (1500, Fraction(125, 2), Fraction(125, 2))
    """
    if text.isdecimal():
        return int(text)
    match = _TIME.fullmatch(text)
    if match is None:
        raise InferError(
            f"{option} must be a frame number or a time, got '{text}'; write 1500, 62.5s, 1:02.5 or 0:01:02.5"
        )
    hours, minutes, seconds, alone = match.groups()
    if alone is not None:
        return Fraction(alone)
    return int(hours or 0) * 3600 + int(minutes) * 60 + Fraction(seconds)


def parse_cuts(text: str | None) -> tuple[int, ...] | None:
    """Frames that begin a shot, as `--cuts` gives them; () for `none`, None where it is left out.

    Raises:
        InferError: if they are no list of numbers.

    Example:
        >>> parse_cuts("120,348"), parse_cuts("none"), parse_cuts(None)
        ((120, 348), (), None)
    """
    if text is None:
        return None
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InferError(
            f"--cuts must be frame numbers like 120,348 or none, got '{text}'; list them"
        ) from error
