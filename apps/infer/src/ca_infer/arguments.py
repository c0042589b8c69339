"""Arguments: what is typed, turned into values."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ca_infer.errors import InferError

__all__ = ["parse_cuts", "parse_rate", "parse_size", "spread_values"]


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
