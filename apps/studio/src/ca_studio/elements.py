"""The two parts of the page that no library has: the frame one paints on, and the film's timeline."""

from __future__ import annotations

from nicegui.element import Element

__all__ = ["Stage", "Timeline"]


class Stage(Element, component="static/stage.js"):
    """The frame, with before and after, and a brush.

    It emits `frame`, `stroke`, `pick`, `undo`, `redo`, `size`, `playing` and `command`.

    Args:
        total: number of frames of the film.
        size: height and width of a frame on the page.
        rate: frames per second when it plays.
        stamp: of the film, in the addresses of its pictures.
    """

    def __init__(self, total: int, size: tuple[int, int], rate: float, stamp: str) -> None:
        super().__init__()
        self._props.update(total=total, height=size[0], width=size[1], stamp=stamp)
        self.style("width: 100%; height: 100%")
        self.configure(fps=rate)

    def configure(self, **values: object) -> None:
        """Set what it shows and how it paints."""
        self.run_method("configure", values)

    def show(self, index: int) -> None:
        """Go to a frame."""
        self.run_method("show", index)


class Timeline(Element, component="static/timeline.js"):
    """The film as a strip; emits `seek` and `movecut`.

    Args:
        stamp: of the film, in the addresses of its pictures.
    """

    def __init__(self, stamp: str) -> None:
        super().__init__()
        self._props.update(stamp=stamp)

    def configure(self, **values: object) -> None:
        """Set what it shows."""
        self.run_method("configure", values)
