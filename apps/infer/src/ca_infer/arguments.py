"""Options that take several values."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["spread_values"]


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
