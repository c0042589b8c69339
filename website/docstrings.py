"""What the API pages need to know of how our docstrings are written, as an extension of griffe."""

import re
from typing import Any

import griffe

# `a, b: what both are`, with the lines that go on below it, indented further.
JOINT = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+)(?P<text>: .*(?:\n(?P=indent) +.*)*)", re.MULTILINE
)


def as_google(text: str) -> str:
    """A docstring as the parser reads it: `Examples`, and an entry for every argument.

    Example:
        >>> as_google("Example:\\n    >>> 1 + 1\\n    2")
        'Examples:\\n    >>> 1 + 1\\n    2'
        >>> print(as_google("Args:\\n    a, b: both,\\n        in pixels."))
        Args:
            a: both,
                in pixels.
            b: both,
                in pixels.
    """
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
    return JOINT.sub(
        lambda found: "\n".join(
            found["indent"] + name + found["text"] for name in found["names"].split(", ")
        ),
        text,
    )


class HouseStyle(griffe.Extension):
    """Reads every docstring through `as_google`."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_google(obj.docstring.value)
