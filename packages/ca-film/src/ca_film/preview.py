"""Preview: a few frames of every shot coloured before the whole film is, and what the film will cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from ca_model import GivenColors
from jaxtyping import UInt8
from PIL import Image

from ca_film.colorize import choose_output, color_notes
from ca_film.errors import FilmError, writing
from ca_film.network.runs import Run, run_network
from ca_film.options import ColorizeOptions
from ca_film.output.encoding import Encoding, fill_frame, open_encoder
from ca_film.output.rendering import Renderer
from ca_film.output.sheets import contact_sheet, save_sheet, thumbnail
from ca_film.progress import Progress, advance
from ca_film.session import open_session
from ca_film.source.film import ColoredFrame, Film
from ca_film.source.survey import Survey

__all__ = ["Preview", "preview", "preview_runs"]

_PLACES = (1 / 6, 1 / 2, 5 / 6)
_LEAD = 4
_MOST_SHOTS = 24
_WIDTH = 320


@dataclass(frozen=True)
class Preview:
    """A sheet of coloured frames, and estimates for the whole film.

    Args:
        sheet: the image: a row per shot, grey and coloured side by side.
        frames: how many the film has.
        shots: how many.
        seconds: what colouring all of it is likely to take.
        size: what the film is likely to weigh, in bytes; None for a folder of PNG files.
        notes: what the user should know.
    """

    sheet: Path
    frames: int
    shots: int
    seconds: float
    size: int | None
    notes: list[str]


def preview(
    source: str | Path, out: str | Path, options: ColorizeOptions, progress: Progress | None = None
) -> Preview:
    """Colour a few frames of every shot, and estimate time and size of the whole.

    Args:
        source: a video file or a folder of frames.
        out: where the film would go; the sheet stands beside it as `OUT.preview.png`.
        options: as for the film.
        progress: is told how far the work is, and may cancel it.

    Returns:
        The preview.

    Raises:
        FilmError: as colourising the film would, or if the sheet exists without `overwrite`.
        Cancelled: if `progress` asks for it.
    """
    out, progress = Path(out), progress or Progress()
    sheet = out.with_name(out.name + ".preview.png")
    if sheet.exists() and not options.overwrite:
        raise FilmError(f"preview {sheet} exists; choose another name with `out`, or add `overwrite=True`")
    session = open_session(source, options)
    film = session.film
    encoding = choose_output(film, out, options)
    survey = session.survey(options.cuts, progress)
    session.select(survey, options.references_per_shot, progress)
    runs = preview_runs(survey.shots, session.known_colors())
    progress.stage("colouring", sum(len(run.frames) for run in runs))
    renderer, costs = (
        Renderer(film, session.references, options.look, keep_colors=options.keep_colors),
        _Costs(),
    )
    trial = _TrialEncoder(encoding, film, costs) if encoding else None
    first, last = {run.frames.start for run in runs}, {run.frames.stop - 1 for run in runs}
    tiles: dict[int, list[tuple[str, Image.Image]]] = {}
    with closing(run_network(film, runs, session.painter, session.network_size, survey.flashes)) as frames:
        before = time.perf_counter()
        for colored in frames:
            index = colored.frame.index
            now = time.perf_counter()
            if index not in first:
                costs.network.append(now - before)
            if trial:
                trial.encode(colored, renderer, begins=index in first, ends=index in last)
            if index in last:
                shot = next(number for number, shot in enumerate(survey.shots) if index in shot)
                tiles.setdefault(shot, []).extend(_pair(film, colored, renderer.rgb(colored)))
            before = time.perf_counter()
            costs.rendering.append(before - now)
            advance(progress)
    with writing(sheet):
        save_sheet(contact_sheet([tiles[shot] for shot in sorted(tiles)]), sheet)
    notes = [*session.notes, *survey.notes, *color_notes(survey, options.keep_colors)]
    if len(survey.shots) > _MOST_SHOTS:
        notes.append(f"the preview shows {len(tiles)} of {len(survey.shots)} shots")
    size = costs.size(survey, options.segment)
    return Preview(sheet, len(survey), len(survey.shots), costs.seconds(len(survey)), size, notes)


def preview_runs(shots: Sequence[range], known: Mapping[int, GivenColors]) -> list[Run]:
    """Up to three places in each shot, evenly chosen shots where there are very many, each with a short lead.

    Example:
        >>> [run.frames for run in preview_runs([range(0, 60), range(60, 62)], {})]
        [range(6, 11), range(26, 31), range(46, 51), range(60, 61), range(61, 62)]
    """
    step = max(1.0, len(shots) / _MOST_SHOTS)
    runs = []
    for number in range(min(len(shots), _MOST_SHOTS)):
        shot = shots[int(number * step)]
        free = shot.start
        for index in sorted({shot.start + int(place * len(shot)) for place in _PLACES}):
            frames = range(max(free, index - _LEAD), index + 1)
            runs.append(Run(frames, known))
            free = index + 1
    return runs


@dataclass
class _Costs:
    """Times and sizes measured on the way."""

    network: list[float] = field(default_factory=list)
    rendering: list[float] = field(default_factory=list)
    key_sizes: list[int] = field(default_factory=list)
    other_sizes: list[int] = field(default_factory=list)

    def seconds(self, frames: int) -> float:
        """The stages overlap, so the slower one counts."""
        slower = max(statistics.median(times or [0.0]) for times in (self.network, self.rendering))
        return slower * frames

    def size(self, survey: Survey, segment: int) -> int | None:
        if not self.key_sizes:
            return None
        key = statistics.mean(self.key_sizes)
        other = statistics.mean(self.other_sizes or self.key_sizes)
        keys = sum(-(-len(shot) // segment) for shot in survey.shots)
        return round(keys * key + (len(survey) - keys) * other)


class _TrialEncoder:
    """Encodes each run with a fresh encoder, and keeps nothing but the packets' sizes."""

    def __init__(self, encoding: Encoding, film: Film, costs: _Costs) -> None:
        self._encoding, self._format, self._costs = encoding, film.format, costs
        self._encoder: av.VideoCodecContext | None = None

    def encode(self, colored: ColoredFrame, renderer: Renderer, *, begins: bool, ends: bool) -> None:
        if begins or self._encoder is None:
            self._encoder = open_encoder(self._encoding, self._format)
        chroma = renderer.chroma(colored, self._encoding)
        packets = self._encoder.encode(fill_frame(colored.frame, chroma, self._encoding, self._format))
        if ends:
            packets += self._encoder.encode(None)
        for packet in packets:
            (self._costs.key_sizes if packet.is_keyframe else self._costs.other_sizes).append(packet.size)


def _pair(
    film: Film, colored: ColoredFrame, rgb: UInt8[np.ndarray, "3 h w"]
) -> list[tuple[str, Image.Image]]:
    """The frame in grey and in colour, upright, with labels."""
    turns = film.format.turns
    lightness = np.rot90(film.lightness(colored.frame)[0].numpy(), turns)
    grey = np.rint((lightness + 1.0) * 127.5).astype(np.uint8)
    upright = np.rot90(rgb, turns, axes=(1, 2))
    return [
        (f"frame {colored.frame.index}", thumbnail(np.repeat(grey[None], 3, axis=0), _WIDTH)),
        ("coloured", thumbnail(upright, _WIDTH)),
    ]
