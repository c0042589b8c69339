"""Options of a colouring: plain data, checked for sense, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ca_film.errors import FilmError

__all__ = ["ColorizeOptions", "Look", "StreamChoice"]


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
class ColorizeOptions:
    """Choices for one film.

    Args:
        references: files and folders of colour stills.
        weights: a shipped name, a file or a hub id; None for the shipped default.
        size: budget of pixels for the network, as height and width.
        device: where the network runs: `auto`, or a device torch knows.
        look: how strong the colours are.
        overwrite: whether an output that is there may be replaced.
        restart: whether kept work is thrown away.
        codec: encoder of a video, None for the default.
        crf: its constant quality.
        pixel_format: its storage.
        png_depth: bits of PNG files, 8 or 16.
        streams: which streams of the source are copied.
        rate: frames per second of a folder of frames that becomes a video.
        cuts: numbers of the frames that begin a shot, () for none; None to look for them.
        report: whether to write a coverage report beside the output.
        segment: most frames between two points from which interrupted work can go on.

    Raises:
        FilmError: if `png_depth`, `rate` or `segment` is out of range.

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
    streams: StreamChoice = field(default_factory=StreamChoice)
    rate: Fraction = Fraction(24)
    cuts: Sequence[int] | None = None
    report: bool = False
    segment: int = 240

    def __post_init__(self) -> None:
        if self.png_depth not in (8, 16):
            raise FilmError(f"--png-depth must be 8 or 16, got {self.png_depth}; choose one of them")
        if not 0 < self.rate <= 1000:
            raise FilmError(f"--fps must lie between 0 and 1000, got '{self.rate}'; write 25 or 24000/1001")
        if self.segment < 1:
            raise FilmError(f"--segment must be 1 frame or more, got {self.segment}; leave it out for 240")

    @property
    def stills(self) -> tuple[Path, ...]:
        """`references` as paths."""
        given = self.references
        return tuple(Path(path) for path in ([given] if isinstance(given, str | Path) else given))
