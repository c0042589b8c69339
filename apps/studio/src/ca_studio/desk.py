"""The desk: one open project, what is being done to it, and the threads that do it. It knows nothing of pages."""

from __future__ import annotations

import io
import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ca_film import Cancelled, FilmError, Progress, open_film
from ca_film.colorize import color_notes
from ca_film.project import (
    ALL_SHOTS,
    CHANGED,
    OWN_SHOT,
    Colorist,
    FrameColors,
    Project,
    ProjectFolder,
    Still,
    Stretch,
    Stroke,
    Viewer,
    color_stretches,
    is_project,
    load_strokes,
    next_frame,
    paint,
    project_folder,
    read_still,
    save_strokes,
    survey_project,
    upright_lightness,
    write_still,
)
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ca_studio.rendering import encode, jpeg, view_lightness, with_colors, with_confidence

__all__ = ["Desk", "Painting"]

_HELD_LIGHTNESS = 1500
_AHEAD = 8
_LARGEST_STILL = 100_000_000
_UNLIKE = 60
_ODD = r"[^\w-]"


@dataclass
class Painting:
    """A frame that is being painted.

    Args:
        strokes: made so far.
        undone: taken back, the last one first to come again.
        proposal: ab/110 of the network before the first stroke, at its size; None where it had none.
        low: what the network saw.
        ab: what the strokes make of it, on the grid of the page.
    """

    strokes: list[Stroke] = field(default_factory=list)
    undone: list[Stroke] = field(default_factory=list)
    proposal: Float[Tensor, "2 ph pw"] | None = None
    low: Float[Tensor, "1 ph pw"] | None = None
    ab: Float[Tensor, "2 h w"] | None = None


class _Survey(Progress):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def advance(self, count: int = 1) -> None:
        self._desk.surveyed_frames += count

    def cancelled(self) -> bool:
        return self._desk.closing


class Desk:
    """One project at work; all its methods may be called from any thread.

    Args:
        path: a film, or a project's folder.
        size: budget of pixels for the network; None for the project's.
        weights: of the network; None for the project's.
        device: where the network runs.

    Raises:
        FilmError: if film or project are wrong, or open elsewhere.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None = None,
        weights: str | None = None,
        device: str = "auto",
    ) -> None:
        project, self.folder = _opened(path)
        if size or weights:
            project = replace(project, size=size or project.size, weights=weights or project.weights)
        self.viewer = Viewer(project.film)
        self.project = project
        self.version = 0
        # In the address of every picture: browsers keep those of another film, or of a studio before this one.
        self.stamp = secrets.token_hex(4)
        self.problem: str | None = None
        self.surveyed_frames = 0
        self.has_own_colors = False
        self.notices: list[str] = []
        self.closing = False
        self.coloring: tuple[int, int] | None = None
        self._device = device
        self._paintings: dict[int, Painting] = {}
        self._held: OrderedDict[int, UInt16[np.ndarray, "1 h w"]] = OrderedDict()
        self._change = threading.RLock()
        self._network = threading.Lock()
        self._wanted: tuple[int, bool] | None = None
        self._wake = threading.Event()
        # A second reader, so that looking and colouring do not chase each other through the film.
        self._feeding = Viewer(project.film)
        self.folder.__enter__()
        try:
            self.folder.save(project)
            self.colorist = Colorist(self.folder, project, self.viewer.film, device)
        except BaseException:
            self.folder.__exit__()
            raise
        self._threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True)
            for target in (self._survey, self._color)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads and let go of the project."""
        self.closing = True
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=30)
        self.folder.__exit__()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.viewer)

    def touch(self) -> None:
        """Say that something is to be seen anew."""
        self.version += 1

    def change(self, edit: Callable[[Project], Project]) -> None:
        """Change the project, save it, and remember how it was.

        Raises:
            FilmError: if the change makes no sense; nothing is changed then.
        """
        with self._change:
            before, self.project = self.project, edit(self.project)
            if self.project == before:
                return
            self.colorist.project = self.project
            self.folder.save(self.project)
            self.touch()

    # Looking

    def frame_jpeg(self, index: int, layer: str) -> bytes:
        """A frame as the page shows it: `grey`, `color` or `confidence`."""
        lightness = view_lightness(self.viewer.film, self.viewer.frame(index))
        if layer == "grey":
            return jpeg(lightness)
        painting = self._paintings.get(index)
        if layer == "color" and painting is not None and painting.ab is not None:
            return jpeg(lightness, painting.ab)
        colors = self._colors(index)
        if layer == "confidence":
            return encode(with_confidence(lightness, colors))
        if colors is None:
            return jpeg(lightness)
        ab = self.colorist.shown_ab(index, colors, self._low)
        return jpeg(lightness, with_colors(lightness, ab, self._low(index), self.project.shot_at(index).look))

    def thumbnail_jpeg(self, index: int, widest: int = 144) -> bytes:
        """A small frame, of the keyframe before: cheap."""
        return jpeg(view_lightness(self.viewer.film, self.viewer.near(index), widest), quality=80)

    def covered(self) -> UInt8[np.ndarray, " t"]:
        """Mean confidence of every frame, 255 for 1."""
        return self.colorist.covered(len(self))

    def advice(self) -> int | None:
        """The frame whose still would help most; None where nothing lacks."""
        return next_frame(self.project, self.covered())

    def has_colors(self, index: int) -> bool:
        """Whether a frame is coloured."""
        return self._colors(index) is not None

    # Painting

    def painting(self, index: int) -> Painting:
        """The painting of a frame; begun from its kept strokes, or from what the network proposes."""
        with self._change:
            if index not in self._paintings:
                painting = Painting(load_strokes(self._strokes_file(index)))
                painting.proposal, painting.low = self._proposal(index)
                self._paintings[index] = painting
                if painting.strokes:
                    self._spread(index)
            return self._paintings[index]

    def strokes(self, index: int) -> list[Stroke]:
        """Strokes on a frame as far as it was opened for painting, without waiting for the network."""
        painting = self._paintings.get(index)
        return [] if painting is None else list(painting.strokes)

    def add_stroke(self, index: int, stroke: Stroke) -> None:
        """Paint a stroke on a frame, and spread the colours."""
        painting = self.painting(index)
        with self._change:
            painting.strokes.append(stroke)
            painting.undone.clear()
            self._spread(index)

    def undo(self, index: int) -> None:
        """Take the last stroke back."""
        painting = self.painting(index)
        with self._change:
            if painting.strokes:
                painting.undone.append(painting.strokes.pop())
                self._spread(index)

    def redo(self, index: int) -> None:
        """Make the stroke again that was taken back last."""
        painting = self.painting(index)
        with self._change:
            if painting.undone:
                painting.strokes.append(painting.undone.pop())
                self._spread(index)

    def keep_painting(self, index: int) -> Still:
        """Make a painted frame a still of the film, in the film's own resolution.

        Raises:
            FilmError: if nothing is painted.
        """
        painting = self.painting(index)
        if not painting.strokes:
            raise FilmError(f"frame {index} has no strokes; paint on it first")
        lightness = upright_lightness(self.viewer.film, self.viewer.frame(index))
        ab = paint(lightness, painting.strokes, painting.proposal, painting.low)
        still = self._still(index)
        with self._trying(still.file) as path:
            write_still(path, lightness, ab)
            read_still(path, self.project.size, self.viewer.film.format)
        save_strokes(self._strokes_file(index), painting.strokes)
        if painting.proposal is not None and painting.low is not None:
            write_still(self._proposal_file(index), painting.low, painting.proposal)
        self._add(still)
        return still

    def add_still(self, data: bytes, name: str, frame: int | None) -> Still:
        """Take a picture in as a still, of a frame or from elsewhere; of a transparent one what is opaque counts.

        Args:
            data: the file.
            name: its name; `frame_000120.png` says that it is frame 120, as in `colorize`.
            frame: number of the frame that it is, whatever its name; None to go by the name.

        Returns:
            The still.

        Raises:
            FilmError: if it is no picture, too large, transparent everywhere, without colour, or said to be a frame but
                of another shape than the film.
        """
        image = _picture(data, name)
        foreign = _foreign_still(name)
        with self._trying(foreign.file, keep=False) as path:
            image.save(path, "PNG")
            found = read_still(path, self.project.size, self.viewer.film.format)
            if frame is None and found.fits and found.frame is not None and found.frame < len(self):
                frame = found.frame
            if frame is not None and not found.fits:
                raise FilmError(
                    f"{name} is of another shape than the film ({found.size[1]}x{found.size[0]}), so it is not frame "
                    f"{frame}; take it in as a still from elsewhere"
                )
            still = self._still(frame) if frame is not None else foreign
            self.folder.stills  # noqa: B018 - makes the folder
            path.replace(self.folder.path / still.file)
        if frame is not None:
            self._strokes_file(frame).unlink(missing_ok=True)
            self._proposal_file(frame).unlink(missing_ok=True)
            self._paintings.pop(frame, None)
        self._add(still)
        return still

    def remove_still(self, file: str) -> None:
        """Take a still out of the project; its file goes, too."""
        still = next((still for still in self.project.stills if still.file == file), None)
        if still is None:
            return
        self.change(lambda project: project.without_still(file))
        path = self.folder.path / file
        for left in (path, path.with_suffix(".strokes.json"), path.with_suffix(".proposal.png")):
            left.unlink(missing_ok=True)
        if still.frame is not None:
            self._paintings.pop(still.frame, None)
        self.touch()

    def still_png(self, file: str) -> Path:
        """The file of a still of this project.

        Raises:
            FilmError: if there is none of that name.
        """
        if all(still.file != file for still in self.project.stills):
            raise FilmError(f"no still {file} in this project; choose another")
        return self.folder.path / file

    def still_color(self, file: str, x: float, y: float) -> tuple[int, int, int]:
        """Colour of a still at a place, in shares of its width and height.

        Raises:
            FilmError: if there is none of that name, or the place is transparent.
        """
        with Image.open(self.still_png(file)) as image:
            rgba = image.convert("RGBA")
        place = min(rgba.width - 1, int(x * rgba.width)), min(rgba.height - 1, int(y * rgba.height))
        red, green, blue, alpha = rgba.getpixel((max(0, place[0]), max(0, place[1])))  # type: ignore[misc]
        if not alpha:
            raise FilmError("the still is transparent there; pick another place")
        return red, green, blue

    def still_jpeg(self, file: str, widest: int = 184) -> bytes:
        """A small picture of a still.

        Raises:
            FilmError: if there is none of that name.
        """
        with Image.open(self.still_png(file)) as image:
            rgba = image.convert("RGBA")
            rgba.thumbnail((widest, widest))
        small = Image.new("RGB", rgba.size, (127, 127, 127))
        small.paste(rgba, mask=rgba.getchannel("A"))
        return encode(np.asarray(small))

    def palette(self, most: int = 12) -> list[tuple[int, int, int]]:
        """Colours of the film: the commonest of its stills, strong ones first."""
        strength: dict[tuple[int, int, int], float] = {}
        for still in self.project.stills:
            with Image.open(self.folder.path / still.file) as image:
                small = np.asarray(image.convert("RGB").resize((96, 54)).quantize(32).convert("RGB"))
            colors, counts = np.unique(small.reshape(-1, 3), axis=0, return_counts=True)
            for (red, green, blue), count in zip(colors.tolist(), counts.tolist(), strict=True):
                chroma = max(red, green, blue) - min(red, green, blue)
                strength[red, green, blue] = strength.get((red, green, blue), 0.0) + chroma * count**0.5
        chosen: list[tuple[int, int, int]] = []
        for color in sorted(strength, key=lambda color: -strength[color]):
            # Twelve shades of one brown are no palette.
            if all(sum(abs(a - b) for a, b in zip(color, other, strict=True)) > _UNLIKE for other in chosen):
                chosen.append(color)
        return chosen[:most]

    # Colouring

    def color(self, near: int, *, everything: bool = False) -> None:
        """Colour what is missing in the shot of a frame, or in all shots, nearest first."""
        self.problem = None
        self._wanted = near, everything
        self._wake.set()

    def stop(self) -> None:
        """Stop colouring; finished stretches stay."""
        self._wanted = None

    def shot_range(self, index: int) -> range:
        """Frames of the shot of a frame."""
        ranges = self.project.ranges(len(self))
        return next(frames for frames in ranges if index in frames)

    def _color(self) -> None:
        while not self.closing:
            self._wake.wait()
            self._wake.clear()
            try:
                while self._wanted is not None and not self.closing:
                    if not self._color_some(*self._wanted):
                        self._wanted = None
                self.colorist.tidy(len(self))
            except (FilmError, OSError) as error:
                self.problem, self._wanted = str(error), None
            except Exception as error:  # whatever one film does, the page goes on
                self.problem, self._wanted = f"colouring failed ({type(error).__name__}: {error})", None
            self.coloring = None
            self.touch()

    def _color_some(self, near: int, everything: bool) -> bool:
        """Colour the missing stretches of the nearest shot; whether there were any."""
        missing = self.colorist.missing(len(self), near)
        if not everything:
            frames = self.shot_range(near)
            missing = [stretch for stretch in missing if stretch.frames.start in frames]
        if not missing:
            return False
        shot = self.shot_range(missing[0].frames.start)
        together = [stretch for stretch in missing if stretch.frames.start in shot]
        done, total = 0, sum(len(stretch.frames) for stretch in together)
        self.coloring = 0, total
        wanted, began = self._wanted, self.project
        made = color_stretches(self.colorist, together, self._lightness, near)
        try:
            while True:
                with self._network:
                    if next(made, None) is None:
                        return True
                done += 1
                self.coloring = done, total
                self.touch()
                if (
                    self.closing
                    or self._wanted != wanted
                    or (self.project != began and self._outdated(together))
                ):
                    return True
        finally:
            made.close()

    def _outdated(self, stretches: list[Stretch]) -> bool:
        now = self.colorist.stretches(len(self))
        return any(stretch not in now for stretch in stretches)

    def _survey(self) -> None:
        try:
            film = open_film(self.project.film)
            survey, found = survey_project(self.folder, self.project, film, _Survey(self))
            with self._change:
                if not self.project.surveyed:
                    cuts = [shot.start for shot in found.shots]
                    self.change(lambda project: project.with_cuts(cuts))
                for viewer in (self.viewer, self._feeding):
                    viewer.follow(survey)
                self.colorist.follow(survey)
                self.notices = [note for note in survey.notes if note == CHANGED]
                self.has_own_colors = bool(color_notes(survey, keep=False))
            self.surveyed_frames = len(survey)
            self.touch()
        except Cancelled:
            pass
        except (FilmError, OSError) as error:
            self.problem = str(error)
            self.touch()
        except Exception as error:  # whatever one film does, the page goes on
            self.problem = f"looking for cuts failed ({type(error).__name__}: {error})"
            self.touch()

    def _colors(self, index: int) -> FrameColors | None:
        try:
            return self.colorist.colors(index, self.colorist.stretches(len(self)))
        except OSError:
            return None

    def _lightness(self, index: int, *, backward: bool) -> UInt16[np.ndarray, "1 h w"]:
        """What the network sees of a frame, decoded a few at a time in the direction of time."""
        if index not in self._held:
            first = max(0, index - _AHEAD + 1) if backward else index
            for number in range(first, index + 1):
                frame = self._feeding.frame(number)
                self._held[number] = self.colorist.see(self._feeding.film, frame)
        codes = self._held[index]
        while len(self._held) > _HELD_LIGHTNESS:
            self._held.popitem(last=False)
        return codes

    def _low(self, index: int) -> Float[Tensor, "1 h w"]:
        codes = self._held.get(index)
        if codes is None:
            codes = self.colorist.see(self.viewer.film, self.viewer.frame(index))
        return self.colorist.low(codes)

    def _proposal(self, index: int) -> tuple[Tensor | None, Tensor | None]:
        """What the network says about a frame, from kept colours or from the project's stills; None without either."""
        kept = self._proposal_file(index)
        if kept.is_file():
            from ca_film.source.references import prepare_references

            ab = prepare_references([kept], self.project.size)[0].network_ab(self.colorist.size)
            return ab[0] if isinstance(ab, tuple) else ab, self._low(index)
        colors = self._colors(index)
        if colors is not None:
            return colors.ab, self._low(index)
        others = sorted(
            (still for still in self.project.stills if still.frame != index),
            key=lambda still: abs((still.frame or 0) - index),
        )
        if not others:
            return None, None
        with self._network:
            found = self.colorist.propose(others[:4], self._low(index))
        return found.ab, self._low(index)

    def _spread(self, index: int) -> None:
        painting = self._paintings[index]
        lightness = view_lightness(self.viewer.film, self.viewer.frame(index))
        painting.ab = paint(lightness, painting.strokes, painting.proposal, painting.low)
        self.touch()

    def _add(self, still: Still) -> None:
        self.change(lambda project: project.with_still(still))
        # The same name with other pixels is a change, too.
        self.touch()

    @contextmanager
    def _trying(self, file: str, *, keep: bool = True) -> Iterator[Path]:
        """A place for a still of the project, which takes the still's own place if nothing is wrong with it."""
        with tempfile.TemporaryDirectory(dir=self.folder.kept) as scratch:
            path = Path(scratch) / Path(file).name
            yield path
            if keep:
                self.folder.stills  # noqa: B018 - makes the folder
                path.replace(self.folder.path / file)

    def _still(self, index: int) -> Still:
        old = next((still for still in self.project.stills if still.frame == index), None)
        return old or Still(f"stills/frame_{index:06d}.png", index, OWN_SHOT)

    def _strokes_file(self, index: int) -> Path:
        return self.folder.stills / f"frame_{index:06d}.strokes.json"

    def _proposal_file(self, index: int) -> Path:
        return self.folder.stills / f"frame_{index:06d}.proposal.png"


def _opened(path: Path) -> tuple[Project, ProjectFolder]:
    if is_project(path):
        folder = ProjectFolder(path)
        return folder.load_with_film(), folder
    folder = ProjectFolder(project_folder(path))
    return (folder.load_with_film() if is_project(folder.path) else Project(path.resolve())), folder


def _foreign_still(name: str) -> Still:
    """A still from elsewhere, under a name that any system takes and no painted frame has."""
    stem = re.sub(_ODD, "_", Path(name).stem)[-60:]
    return Still(f"stills/{'other_' if stem.startswith('frame_') else ''}{stem}.png", None, ALL_SHOTS)


def _picture(data: bytes, name: str) -> Image.Image:
    """A picture, upright; RGBA only if some of it is transparent."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > _LARGEST_STILL:
            raise FilmError(
                f"{name} has {image.width}x{image.height} pixels, too many for a still; make it smaller"
            )
        rgba = ImageOps.exif_transpose(image).convert("RGBA")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FilmError(f"{name} is no picture that can be read; save it as PNG") from error
    alpha = np.asarray(rgba.getchannel("A"))
    if not alpha.any():
        raise FilmError(f"{name} is transparent everywhere; paint on it first")
    return rgba if alpha.min() < 255 else rgba.convert("RGB")
