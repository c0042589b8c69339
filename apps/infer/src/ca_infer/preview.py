"""A look at a few frames of every shot before the whole film is coloured, and what the film will cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ca_infer.coloring import choose_output
from ca_infer.encoding import fill_frame, open_encoder
from ca_infer.errors import InferError
from ca_infer.film import Survey
from ca_infer.options import ColorizeOptions, Tell
from ca_infer.rendering import Renderer
from ca_infer.runs import Item, Run, run_network
from ca_infer.session import Session, open_session
from ca_infer.sheets import contact_sheet, thumbnail

__all__ = ["Preview", "preview", "preview_runs"]

_PLACES = (1 / 6, 1 / 2, 5 / 6)
_LEAD = 4
_MOST_SHOTS = 24
_WIDTH = 320


@dataclass(frozen=True)
class Preview:
    """What a preview found.

    Args:
        sheet: the picture: a row per shot, grey and coloured side by side.
        pictures: how many the film has.
        shots: how many.
        seconds: what colouring all of it is likely to take.
        size: what the film is likely to weigh, in bytes; None for a folder of PNG files.
        notes: what the user should know.
    """

    sheet: Path
    pictures: int
    shots: int
    seconds: float
    size: int | None
    notes: list[str]


class _Costs:
    """Times and sizes measured on the way."""

    def __init__(self) -> None:
        self.network: list[float] = []
        self.rendering: list[float] = []
        self.key_sizes: list[int] = []
        self.other_sizes: list[int] = []

    def seconds(self, pictures: int) -> float:
        """The stages overlap, so the slower one counts."""
        slower = max(statistics.median(times or [0.0]) for times in (self.network, self.rendering))
        return slower * pictures

    def size(self, survey: Survey, segment: int) -> int | None:
        if not self.key_sizes:
            return None
        key = statistics.mean(self.key_sizes)
        other = statistics.mean(self.other_sizes or self.key_sizes)
        keys = sum(-(-len(shot) // segment) for shot in survey.shots)
        return round(keys * key + (len(survey) - keys) * other)


def preview(source: Path, out: Path, options: ColorizeOptions, tell: Tell | None = None) -> Preview:
    """Colour a few frames of every shot, and estimate time and size of the whole.

    Args:
        source: a video file or a folder of frames.
        out: where the film would go; the sheet stands beside it as `OUT.preview.png`.
        options: as for the film.
        tell: hears how far the work is.

    Returns:
        The preview.

    Raises:
        InferError: as colourising the film would, or if the sheet exists without `overwrite`.
    """
    tell = tell or Tell()
    sheet = out.with_name(out.name + ".preview.png")
    if sheet.exists() and not options.overwrite:
        raise InferError(f"preview {sheet} exists; choose another name with -o, or add --overwrite")
    session = open_session(source, options)
    encoding = choose_output(session.film, out, options)
    tell.stage("looking through the film", None)
    survey = options.survey(session.film, session.references)
    session.date_references(survey)
    runs = preview_runs(survey.shots, session.known_colors())
    tell.stage("colouring", sum(len(run.pictures) for run in runs))
    renderer, costs = Renderer(session.film, session.references, options.look), _Costs()
    tiles: dict[int, list[tuple[str, Image.Image]]] = {}
    encoder = None
    with closing(run_network(session.film, runs, session.painter, session.network_size)) as pictures:
        before = time.perf_counter()
        for item, prediction in pictures:
            begins = item.picture.index == item.run.pictures.start
            now = time.perf_counter()
            if not begins:
                costs.network.append(now - before)
            if encoding is not None:
                chroma = renderer.chroma(item.picture, prediction, item.low, encoding)
                encoder = (
                    open_encoder(encoding, session.film.format) if begins or encoder is None else encoder
                )
                frame = fill_frame(item.picture, chroma, encoding, session.film.format)
                packets = encoder.encode(frame)
                if item.picture.index == item.run.pictures.stop - 1:
                    packets += encoder.encode(None)
                for packet in packets:
                    (costs.key_sizes if packet.is_keyframe else costs.other_sizes).append(packet.size)
            if item.picture.index == item.run.pictures.stop - 1:
                shot = next(n for n, shot in enumerate(survey.shots) if item.picture.index in shot)
                colored = renderer.rgb(item.picture, prediction, item.low)
                tiles.setdefault(shot, []).extend(_pair(session, item, colored))
            before = time.perf_counter()
            costs.rendering.append(before - now)
            tell.advance()
    contact_sheet([tiles[shot] for shot in sorted(tiles)]).save(sheet)
    notes = list(survey.notes)
    if len(survey.shots) > _MOST_SHOTS:
        notes.append(f"the preview shows {len(tiles)} of {len(survey.shots)} shots")
    size = costs.size(survey, options.segment)
    return Preview(sheet, len(survey), len(survey.shots), costs.seconds(len(survey)), size, notes)


def preview_runs(shots: Sequence[range], known: Mapping[int, Float[Tensor, "2 h w"]]) -> list[Run]:
    """Up to three places in each shot, evenly chosen shots where there are very many, each with a short lead.

    Example:
        >>> [run.pictures for run in preview_runs([range(0, 60), range(60, 62)], {})]
        [range(6, 11), range(26, 31), range(46, 51), range(60, 61), range(61, 62)]
    """
    step = max(1.0, len(shots) / _MOST_SHOTS)
    runs = []
    for number in range(min(len(shots), _MOST_SHOTS)):
        shot = shots[int(number * step)]
        free = shot.start
        for index in sorted({shot.start + int(place * len(shot)) for place in _PLACES}):
            pictures = range(max(free, index - _LEAD), index + 1)
            runs.append(Run(pictures, {i: ab for i, ab in known.items() if i in pictures}))
            free = index + 1
    return runs


def _pair(session: Session, item: Item, colored: UInt8[np.ndarray, "3 h w"]) -> list[tuple[str, Image.Image]]:
    turns = round(session.film.format.rotation / 90) % 4
    lightness = np.rot90(session.film.lightness(item.picture)[0].numpy(), turns)
    grey = np.rint((lightness + 1.0) * 127.5).astype(np.uint8)
    upright = np.rot90(colored, turns, axes=(1, 2))
    return [
        (f"frame {item.picture.index}", thumbnail(np.repeat(grey[None], 3, axis=0), _WIDTH)),
        ("coloured", thumbnail(upright, _WIDTH)),
    ]
