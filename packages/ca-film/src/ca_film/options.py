"""Options of a colouring: plain data, checked for sense, nothing decoded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path

from ca_data import STILL_PIXELS

from ca_film.errors import FilmError

__all__ = ["ColorizeOptions", "Look", "Place", "StillBinding", "StreamChoice"]

Place = int | Fraction
"""A place in a film: the number of a frame, or seconds since its first frame."""

# What Pillow opens at most: twice its Image.MAX_IMAGE_PIXELS.
_MOST_STILL_PIXELS = 178_956_970


# Arguments whose options on a command line are not called as they are.
_SPELLED = {
    "again": "--range",
    "folder": "--out",
    "keep_colors=True": "--keep-colors",
    "most_pixels": "--still-pixels",
    "out": "-o",
    "overwrite=True": "--overwrite",
    "pixel_format": "--pix-fmt",
    "rate": "--fps",
    "references": "--refs",
    "references_per_shot": "--refs-per-shot",
    "report=False": "--no-report",
    "restart=True": "--restart",
}


def as_options(line: str) -> str:
    """An error or a note of this package in the words of the command line.

    Args:
        line: the message; arguments stand in it in backquotes.

    Returns:
        The same with options in their place; of other words in backquotes nothing changes.

    Example:
        >>> as_options("choose another name with `out`, or add `overwrite=True`; `codec` ffv1 keeps them, `x` not")
        'choose another name with -o, or add --overwrite; --codec ffv1 keeps them, `x` not'
    """
    alike = {"cluster", "devices", "watch", *(field.name for field in fields(ColorizeOptions))}

    def spelled(found: re.Match[str]) -> str:
        name = found[1]
        return _SPELLED.get(name) or (f"--{name.replace('_', '-')}" if name in alike else found[0])

    return re.sub(r"`(\w+(?:=\w+)?)`", spelled, line)


@dataclass(frozen=True)
class Look:
    """Strength of the colours.

    Args:
        saturation: factor on ab; 1 is what the network says.
        strength: share of colour against grey; 1 is all colour.
        compare: leave the left half of the frame grey, to see both.
    """

    saturation: float = 1.0
    strength: float = 1.0
    compare: bool = False

    @property
    def factor(self) -> float:
        """Factor on ab of both together."""
        return self.saturation * self.strength


@dataclass(frozen=True)
class StreamChoice:
    """Streams of the source that are copied.

    Args:
        audio: sound.
        subtitles: subtitles.
        data: data, attachments, further video streams.
        metadata: tags and chapters.
    """

    audio: bool = True
    subtitles: bool = True
    data: bool = True
    metadata: bool = True

    def keeps(self, kind: str) -> bool:
        """Whether streams of a kind (libavformat's word) are copied."""
        return {"audio": self.audio, "subtitle": self.subtitles}.get(kind, self.data)


@dataclass(frozen=True)
class StillBinding:
    """The parts of a film that a still is for; elsewhere it is not looked at.

    Args:
        still: its file, one of the references.
        shots: numbers of shots, from 1, as `plan` shows them.
        frames: ranges of frame numbers.
        frame: number of the frame that the still is, in place of what its name says.

    Raises:
        FilmError: if a number is below its least, or a range is empty.

    Example:
        >>> StillBinding("red.png", shots=[2]).ranges([range(0, 40), range(40, 90)])
        [range(40, 90)]
    """

    still: str | Path
    shots: Sequence[int] = ()
    frames: Sequence[range] = ()
    frame: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shots", tuple(self.shots))
        object.__setattr__(self, "frames", tuple(self.frames))
        if any(number < 1 for number in self.shots):
            raise FilmError(
                f"shots of {self.still} must be 1 or more, got {list(self.shots)}; the first is 1"
            )
        if any(one.step != 1 or one.start < 0 or len(one) == 0 for one in self.frames):
            raise FilmError(
                f"frames of {self.still} must be ranges with something in them, got {list(self.frames)}; "
                "the first frame is 0"
            )
        if self.frame is not None and self.frame < 0:
            raise FilmError(f"frame of {self.still} must be 0 or more, got {self.frame}; the first is 0")

    def ranges(self, shots: Sequence[range]) -> list[range] | None:
        """The frames it is for, in a film of these shots; None: all."""
        if not self.shots and not self.frames:
            return None
        return [*self.frames, *(shots[number - 1] for number in self.shots if number <= len(shots))]


@dataclass(frozen=True)
class ColorizeOptions:
    """Choices for one film.

    Args:
        references: files and folders of colour stills, and lists of them (`.toml`, see docs/films.md).
        weights: a shipped name, a file or a hub id; None for the shipped default.
        size: budget of pixels for the network, as height and width.
        device: where the network runs: `auto`, or a device torch knows.
        look: how strong the colours are.
        overwrite: whether an output that is there may be replaced.
        restart: whether kept work is thrown away.
        codec: encoder of a video, None for the default.
        crf: its constant quality.
        pixel_format: its storage.
        png_depth: bits of PNG and TIFF files, 8 or 16.
        frames: files of a folder, `png` or `tiff`.
        streams: which streams of the source are copied.
        rate: frames per second of a folder of frames that becomes a video.
        cuts: numbers of the frames that begin a shot, () for none; None to look for them.
        report: whether to write a coverage report beside the output.
        segment: most frames between two points from which interrupted work can go on.
        bindings: of stills that are for parts of the film only.
        references_per_shot: most stills that the network sees at once; of more, the best for each shot.
        keep_colors: whether colours that the film has (a logo, a title) stay, where they are.
        cut_at_stills: whether the network begins anew at stills that are whole frames of the film, `segment` frames or
            more apart: what lies between them can then be coloured side by side.
        still_pixels: width times height above which a still is refused, undecoded; up to 178 956 970.
        again: numbers of the frames that are coloured again in an output that is there; None for all, in a new output.
        start: where a test piece begins.
        end: what a test piece ends before; None for the film's end.

    Raises:
        FilmError: if `png_depth`, `frames`, `rate`, `segment`, `references_per_shot`, `still_pixels` or `again` is out
            of range, or `again` is asked for together with a piece.

    Example:
        >>> [path.name for path in ColorizeOptions("stills/swan.png").stills]
        ['swan.png']
    """

    references: str | Path | Sequence[str | Path] = ()
    weights: str | None = None
    size: tuple[int, int] = (224, 384)
    device: str = "auto"
    look: Look = field(default_factory=Look)
    overwrite: bool = False
    restart: bool = False
    codec: str | None = None
    crf: int | None = None
    pixel_format: str | None = None
    png_depth: int = 8
    frames: str = "png"
    streams: StreamChoice = field(default_factory=StreamChoice)
    rate: Fraction = Fraction(24)
    cuts: Sequence[int] | None = None
    report: bool = False
    segment: int = 240
    bindings: Sequence[StillBinding] = ()
    references_per_shot: int = 8
    keep_colors: bool = False
    cut_at_stills: bool = False
    still_pixels: int = STILL_PIXELS
    again: range | None = None
    start: Place = 0
    end: Place | None = None

    def __post_init__(self) -> None:
        if self.png_depth not in (8, 16):
            raise FilmError(f"`png_depth` must be 8 or 16, got {self.png_depth}; choose one of them")
        if self.frames not in ("png", "tiff"):
            raise FilmError(f"`frames` must be png or tiff, got '{self.frames}'; choose one of them")
        if not 0 < self.rate <= 1000:
            raise FilmError(f"`rate` must lie between 0 and 1000, got '{self.rate}'; write 25 or 24000/1001")
        if self.segment < 1:
            raise FilmError(f"`segment` must be 1 frame or more, got {self.segment}; leave it out for 240")
        if self.references_per_shot < 1:
            raise FilmError(
                f"`references_per_shot` must be 1 or more, got {self.references_per_shot}; leave it out for 8"
            )
        if not 1 <= self.still_pixels <= _MOST_STILL_PIXELS:
            raise FilmError(
                f"`still_pixels` must lie in 1..{_MOST_STILL_PIXELS}, got {self.still_pixels}; "
                f"leave it out for {STILL_PIXELS}"
            )

        if self.again is not None:
            self._check_again(self.again)

    def _check_again(self, again: range) -> None:
        if again.step != 1 or again.start < 0 or not again:
            raise FilmError(
                f"`again` must be two frame numbers, the first below the second, got {again.start}:{again.stop}; "
                "120:480 is frames 120 to 479"
            )
        if self.is_piece:
            raise FilmError(
                "`again` colours frames of a whole output again, `start` and `end` make a piece: give one of them"
            )

    @property
    def is_piece(self) -> bool:
        """Whether only a piece of the film is wanted."""
        return self.start != 0 or self.end is not None

    @property
    def stills(self) -> tuple[Path, ...]:
        """`references` as paths."""
        given = self.references
        return tuple(Path(path) for path in ([given] if isinstance(given, str | Path) else given))
