"""HDR metadata of a decoded frame, spelt as the encoder wants it."""

from __future__ import annotations

import struct
from typing import Any

import av

__all__ = ["x265_hdr_options"]

_CHROMATICITY_UNIT = 50000
_LUMINANCE_UNIT = 10000


def x265_hdr_options(frame: av.VideoFrame) -> list[str]:
    """Mastering display and content light level as x265 parameters.

    Args:
        frame: a decoded frame; its side data is read.

    Returns:
        `master-display=...` and `max-cll=...`, those that the frame has.

    Example:
        >>> x265_hdr_options(av.VideoFrame(16, 16, "yuv420p"))
        []
    """
    options = []
    sides: Any = frame.side_data
    for data in sides:
        kind = data.type.name
        if kind == "MASTERING_DISPLAY_METADATA":
            options += _mastering_display(bytes(data))
        elif kind == "CONTENT_LIGHT_LEVEL":
            most, average = struct.unpack_from("=2I", bytes(data))
            options.append(f"max-cll={most},{average}")
    return options


def _mastering_display(data: bytes) -> list[str]:
    """AVMasteringDisplayMetadata: ten rationals (x, y of red, green, blue, white; light), flags."""
    numbers = struct.unpack_from("=22i", data)
    if not (numbers[20] and numbers[21]):
        return []
    values = [numbers[i] / (numbers[i + 1] or 1) for i in range(0, 20, 2)]
    chromaticities = [round(value * _CHROMATICITY_UNIT) for value in values[:8]]
    red, green, blue, white = (f"({chromaticities[i]},{chromaticities[i + 1]})" for i in range(0, 8, 2))
    least, most = (round(value * _LUMINANCE_UNIT) for value in values[8:])
    return [f"master-display=G{green}B{blue}R{red}WP{white}L({most},{least})"]
