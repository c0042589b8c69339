"""Single pictures of a film, as people see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ca_data import FrameFolder
from jaxtyping import UInt8

from ca_infer.film import Film, grey_picture
from ca_infer.video_film import VideoFilm

__all__ = ["grey_stills", "read_colors"]


def grey_stills(film: Film, indices: Iterable[int]) -> dict[int, UInt8[np.ndarray, "3 h w"]]:
    """Pictures of a film in grey, upright, in stored pixels.

    Args:
        film: the film.
        indices: their numbers.

    Returns:
        The pictures that the film has, by number.
    """
    wanted = set(indices)
    found: dict[int, UInt8[np.ndarray, "3 h w"]] = {}
    for picture in film.pictures() if wanted else ():
        if picture.index in wanted:
            upright = np.rot90(grey_picture(picture.luma, film.format.coding), _turns(film))
            found[picture.index] = np.repeat(upright[None], 3, axis=0)
            if len(found) == len(wanted):
                break
    return found


def read_colors(path: Path, indices: Iterable[int]) -> dict[int, UInt8[np.ndarray, "3 h w"]]:
    """Pictures of a finished film or folder in colour, upright.

    Args:
        path: a video file or a folder of frames.
        indices: their numbers.

    Returns:
        The pictures by number.
    """
    wanted = set(indices)
    if path.is_dir():
        folder = FrameFolder(path)
        return {index: folder.read([index])[0].numpy() for index in wanted if index < len(folder)}
    film = VideoFilm(path)
    found: dict[int, UInt8[np.ndarray, "3 h w"]] = {}
    for picture in film.pictures() if wanted else ():
        if picture.index in wanted and picture.frame is not None:
            rgb = picture.frame.to_ndarray(format="rgb24")
            found[picture.index] = np.rot90(rgb, _turns(film)).transpose(2, 0, 1)
            if len(found) == len(wanted):
                break
    return found


def _turns(film: Film) -> int:
    return round(film.format.rotation / 90) % 4
