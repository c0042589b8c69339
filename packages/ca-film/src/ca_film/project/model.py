"""Project: the decisions about one film (shots, stills, how strong the colours are), as immutable data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ca_film.errors import FilmError
from ca_film.options import Look

__all__ = ["ALL_SHOTS", "OWN_SHOT", "Project", "Shot", "Still"]

OWN_SHOT = "own"
ALL_SHOTS = "all"


@dataclass(frozen=True)
class Shot:
    """A shot: the frames from `start` to the next shot.

    Args:
        start: number of its first frame.
        saturation: factor on ab, in [0, 4].
        strength: share of colour against grey, in [0, 1].
        grey: whether it is left grey.

    Raises:
        FilmError: if a value is out of range.
    """

    start: int = 0
    saturation: float = 1.0
    strength: float = 1.0
    grey: bool = False

    def __post_init__(self) -> None:
        if self.start < 0:
            raise FilmError(f"shot start must be a frame number from 0 on, got {self.start}; correct it")
        if not 0.0 <= self.saturation <= 4.0 or not 0.0 <= self.strength <= 1.0:
            raise FilmError(
                f"shot {self.start} needs saturation in 0..4 and strength in 0..1, got {self.saturation} and "
                f"{self.strength}; correct them"
            )

    @property
    def look(self) -> Look:
        """Its strength of colours, as the renderer takes it."""
        return Look(self.saturation, self.strength)


@dataclass(frozen=True)
class Still:
    """A colour still and the shots it colours.

    Args:
        file: name of its picture in the project's folder, such as `stills/frame_000120.png`.
        frame: number of the film's frame that it is; None for a picture from elsewhere.
        shots: `own` for the shot it is a frame of, `all`, or numbers of frames whose shots are meant.

    Raises:
        FilmError: if it is a frame of no shot but is to colour its own.
    """

    file: str
    frame: int | None = None
    shots: str | tuple[int, ...] = OWN_SHOT

    def __post_init__(self) -> None:
        if isinstance(self.shots, str) and self.shots not in (OWN_SHOT, ALL_SHOTS):
            raise FilmError(f"still {self.file}: shots must be own, all or frame numbers, got '{self.shots}'")
        if self.shots == OWN_SHOT and self.frame is None:
            raise FilmError(
                f"still {self.file} is no frame of the film, so it has no own shot; bind it to all"
            )
        if self.frame is not None and self.frame < 0:
            raise FilmError(f"still {self.file}: frame must be 0 or more, got {self.frame}; correct it")

    def colors(self, frames: range) -> bool:
        """Whether it colours the shot of these frames."""
        if self.shots == ALL_SHOTS:
            return True
        wanted = (self.frame,) if self.shots == OWN_SHOT else self.shots
        return any(frame in frames for frame in wanted)


@dataclass(frozen=True)
class Project:
    """One film and the decisions about it; every change gives a new project.

    Args:
        film: a video file or a folder of frames.
        shots: in order, the first from frame 0 on.
        stills: in the order in which they were added; one at most for each frame.
        surveyed: whether the film was looked through for cuts; False while the shots are a guess.
        weights: a shipped name or a file; None for the shipped default.
        size: budget of pixels for the network, as height and width.
        keep_colors: whether colours that the film has (a logo, a title) stay, where they are.

    Raises:
        FilmError: if shots are not in order, or two stills claim one frame.

    Example:
        >>> project = Project(Path("film.mp4")).cut(120).cut(48)
        >>> [shot.start for shot in project.shots], project.ranges(200)[2]
        ([0, 48, 120], range(120, 200))
        >>> [shot.start for shot in project.merge(48).shots]
        [0, 120]
    """

    film: Path
    shots: tuple[Shot, ...] = (Shot(),)
    stills: tuple[Still, ...] = ()
    surveyed: bool = False
    weights: str | None = None
    size: tuple[int, int] = (224, 384)
    keep_colors: bool = False

    def __post_init__(self) -> None:
        starts = [shot.start for shot in self.shots]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise FilmError(f"shots must start at 0 and come in order, got starts {starts[:8]}; correct them")
        frames = [str(still.frame) for still in self.stills if still.frame is not None]
        for kind, values in (("frame", frames), ("file", [still.file for still in self.stills])):
            if len(set(values)) < len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise FilmError(f"two stills have {kind} {twice}; remove one")

    def ranges(self, total: int) -> list[range]:
        """Frames of each shot, in the order of `shots`; empty where a shot begins after the film's end."""
        starts = [min(shot.start, total) for shot in self.shots]
        return [range(start, stop) for start, stop in zip(starts, [*starts[1:], total], strict=True)]

    def shot_at(self, frame: int) -> Shot:
        """The shot that a frame belongs to."""
        return next(shot for shot in reversed(self.shots) if shot.start <= max(0, frame))

    def cut(self, frame: int) -> Project:
        """Begin a new shot at a frame, with the settings of the shot that it splits."""
        if any(shot.start == frame for shot in self.shots):
            return self
        shot = replace(self.shot_at(frame), start=frame)
        return replace(self, shots=tuple(sorted((*self.shots, shot), key=lambda shot: shot.start)))

    def merge(self, start: int) -> Project:
        """Take a cut away: the shot that starts there goes into the one before it.

        Raises:
            FilmError: if it is the first shot.
        """
        if start == 0:
            raise FilmError("the first shot has none before it to go into; choose another cut")
        return replace(self, shots=tuple(shot for shot in self.shots if shot.start != start))

    def move_cut(self, start: int, frame: int) -> Project:
        """Move a cut to another frame between the cuts beside it.

        Raises:
            FilmError: if there is no such cut, or the frame lies beyond a neighbour.
        """
        starts = [shot.start for shot in self.shots]
        if start == 0 or start not in starts:
            raise FilmError(f"no cut at frame {start} to be moved; there are {starts[1:9]}")
        place = starts.index(start)
        after = starts[place + 1] if place + 1 < len(starts) else None
        if frame <= starts[place - 1] or (after is not None and frame >= after):
            raise FilmError(
                f"cut {start} can move between its neighbours only, got {frame}; merge shots first"
            )
        shots = list(self.shots)
        shots[place] = replace(shots[place], start=frame)
        return replace(self, shots=tuple(shots))

    def with_cuts(self, cuts: Sequence[int]) -> Project:
        """The cuts that a survey found, in place of a guess; settings stay with the frames they were made for."""
        shots = [replace(self.shot_at(start), start=start) for start in (0, *sorted(set(cuts) - {0}))]
        return replace(self, shots=tuple(shots), surveyed=True)

    def with_shot(self, shot: Shot) -> Project:
        """Other settings for the shot that starts where `shot` does."""
        return replace(self, shots=tuple(shot if old.start == shot.start else old for old in self.shots))

    def with_still(self, still: Still) -> Project:
        """Another still, in place of the one of the same file or frame if there is one."""
        same = [
            old.file == still.file or (still.frame is not None and old.frame == still.frame)
            for old in self.stills
        ]
        if not any(same):
            return replace(self, stills=(*self.stills, still))
        first = same.index(True)
        kept = [(n, old) for n, old in enumerate(self.stills) if n == first or not same[n]]
        return replace(self, stills=tuple(still if n == first else old for n, old in kept))

    def without_still(self, file: str) -> Project:
        """One still less."""
        return replace(self, stills=tuple(still for still in self.stills if still.file != file))
