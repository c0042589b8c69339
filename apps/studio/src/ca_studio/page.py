"""The page: look, paint, colour again, finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ca_film import FilmError, lacking
from ca_film.project import Project, stroke_from
from nicegui import run, ui

from ca_studio.desk import Desk
from ca_studio.dialogs import export_dialog, open_dialog, queue_dialog
from ca_studio.elements import Stage, Timeline
from ca_studio.panel import FIRST_PALETTE, Panel
from ca_studio.rendering import shown_size
from ca_studio.studio import Studio

__all__ = ["StudioPage"]

_TOOLS = {
    "look": ("visibility", "Look (L): drag for before and after"),
    "brush": ("brush", "Brush (P): paint a few strokes, or points"),
    "keep": ("push_pin", "Keep (K): hold what is right already"),
    "erase": ("cleaning_services", "Erase (E)"),
    "pick": ("colorize", "Pick a colour from the frame (X, or Alt+click)"),
}
_KEYS = {"l": "look", "p": "brush", "k": "keep", "e": "erase", "x": "pick"}
_STATIC = Path(__file__).parent / "static"


class StudioPage:
    """One tab.

    Args:
        studio: what all tabs share.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.index = 0
        self.tool = "look"
        self.color = FIRST_PALETTE[0]
        self._seen: tuple[int, int] = (-1, -1)
        self._told: set[str] = set()
        self._opened = studio.opened
        self._painting: asyncio.Lock = asyncio.Lock()
        self.panel = Panel(self)

    @property
    def desk(self) -> Desk:
        """The open film."""
        assert self.studio.desk is not None
        return self.studio.desk

    def build(self) -> None:
        """Lay the page out."""
        ui.add_css(_STATIC / "studio.css")
        ui.dark_mode(None)
        self._header()
        if self.studio.desk is None:
            with ui.column().classes("absolute-center items-center"):
                ui.label("No film is open").classes("text-h6")
                ui.button("Open a film", icon="folder_open", on_click=lambda: open_dialog(self.studio))
        else:
            self._workplace()
        ui.timer(0.25, self._refresh)

    # Layout

    def _header(self) -> None:
        with ui.header(elevated=False).classes("top no-wrap"):
            ui.label("ColorAlign").classes("text-weight-bold text-subtitle1")
            self.title = ui.label("").classes("ellipsis").style("max-width: 34vw")
            ui.space()
            self.status = ui.label("").classes("mono ellipsis").props("data-testid=status")
            self.meter = (
                ui.linear_progress(0, show_value=False)
                .props("instant-feedback color=white")
                .style("width: 120px")
            )
            self.meter.set_visibility(False)
            button = "flat color=white no-caps"
            ui.button("Open", icon="folder_open", on_click=lambda: open_dialog(self.studio)).props(button)
            ui.button("Export", icon="movie", on_click=self._export).props(button).props("data-testid=export")
            ui.button("Queue", icon="list", on_click=lambda: queue_dialog(self.studio)).props(button)
            ui.button(icon="dark_mode", on_click=lambda: ui.run_javascript("Quasar.Dark.toggle()")).props(
                "flat round color=white"
            ).tooltip("Light or dark")

    def _workplace(self) -> None:
        desk = self.desk
        form = desk.viewer.film.format
        with ui.element("div").classes("studio"):
            self._toolbar()
            with ui.element("div").classes("stagebox"):
                self.stage = Stage(len(desk), shown_size(form), float(form.rate), desk.stamp)
            with ui.element("div").classes("panel"):
                self.panel.build()
            with ui.element("div").classes("line"):
                self._transport()
                self.timeline = Timeline(desk.stamp)
        self.stage.on("frame", lambda event: self._at(int(event.args)))
        self.stage.on("stroke", lambda event: self._stroke(event.args))
        self.stage.on("undo", lambda: self._again("undo"))
        self.stage.on("redo", lambda: self._again("redo"))
        self.stage.on("pick", lambda event: self.set_color(event.args))
        self.stage.on(
            "size", lambda event: self.panel.brush_size.set_value(round(float(event.args) * 100, 2))
        )
        self.stage.on("command", lambda event: self._command(event.args))
        self.timeline.on("seek", lambda event: self.stage.show(int(event.args)))
        self.timeline.on(
            "movecut",
            lambda event: self.edit(lambda p: p.move_cut(event.args["start"], event.args["frame"])),
        )

    def _toolbar(self) -> None:
        self.tools: dict[str, ui.button] = {}
        with ui.element("div").classes("tools"):
            for name, (icon, about) in _TOOLS.items():
                button = ui.button(icon=icon, on_click=lambda name=name: self._set_tool(name)).props(
                    "flat round"
                )
                self.tools[name] = button.tooltip(about).props(f"data-testid=tool-{name}")
            ui.separator()
            ui.button(icon="undo", on_click=lambda: self._again("undo")).props("flat round").tooltip(
                "Undo (Ctrl+Z)"
            ).props("data-testid=undo")
            ui.button(icon="redo", on_click=lambda: self._again("redo")).props("flat round").tooltip(
                "Redo (Ctrl+Shift+Z)"
            )
            ui.separator()
            with ui.button().props("flat round").props("data-testid=wheel").tooltip("Colour wheel") as button:
                self.chip = ui.icon("circle", size="26px").style(f"color: {self.color}")
                ui.color_picker(on_pick=lambda event: self.set_color(event.color)).q_color.props(
                    "default-view=spectrum no-header-tabs format-model=hex"
                )
            button.style("background: #8883")
        self._mark_tool()

    def _transport(self) -> None:
        with ui.element("div").classes("transport"):
            small = "flat round dense"
            ui.button(icon="chevron_left", on_click=lambda: self.stage.show(self.index - 1)).props(small)
            ui.button(icon="play_arrow", on_click=lambda: self.stage.run_method("toggle")).props(
                small
            ).tooltip("Space")
            ui.button(icon="chevron_right", on_click=lambda: self.stage.show(self.index + 1)).props(small)
            self.place = ui.label("").classes("mono").style("min-width: 190px").props("data-testid=place")
            ui.toggle(
                {"color": "Colour", "grey": "Grey", "confidence": "Confidence"},
                value="color",
                on_change=lambda event: self.stage.configure(layer=event.value),
            ).props("dense no-caps unelevated size=sm").props("data-testid=layer")
            ui.label("hold B for before").classes("text-caption").style("opacity: .6")
            ui.space()
            ui.button("Which frame next", icon="assistant", on_click=self._advise).props(
                "flat no-caps dense"
            ).props("data-testid=advice")
            ui.button(
                "Colour this shot", icon="auto_awesome", on_click=lambda: self.desk.color(self.index)
            ).props("no-caps dense unelevated").classes("q-px-md").props("data-testid=color-shot")
            ui.button("Colour all", on_click=lambda: self.desk.color(self.index, everything=True)).props(
                "flat no-caps dense"
            )
            ui.button("Stop", icon="stop", on_click=lambda: self.desk.stop()).props(
                "flat no-caps dense"
            ).props("data-testid=stop")

    # What happens

    def _at(self, index: int) -> None:
        self.index = index
        self._show_place()
        self.timeline.configure(index=index)
        self.panel.show_shot()
        if self.tool != "look":
            self._enter()

    def _show_place(self) -> None:
        minutes, seconds = divmod(self.desk.viewer.seconds(self.index), 60)
        self.place.set_text(f"frame {self.index} of {len(self.desk)}   {int(minutes)}:{seconds:05.2f}")

    def _set_tool(self, name: str) -> None:
        self.tool = name
        self._mark_tool()
        if name == "look":
            self.stage.configure(tool=name)
        else:
            self._enter(tool=name)

    def _mark_tool(self) -> None:
        for name, button in self.tools.items():
            button.classes(add="on") if name == self.tool else button.classes(remove="on")

    def _enter(self, **values: object) -> None:
        """Show the strokes of the frame that is being painted."""
        index = self.index
        self.stage.configure(busy="asking the network for this frame", **values)

        async def load() -> None:
            await self.do(lambda: self.desk.painting(index))
            if self.index == index:
                self._send_strokes(busy="")

        ui.timer(0, load, once=True)

    def _send_strokes(self, **values: object) -> None:
        strokes = [
            {"kind": s.kind, "points": s.points, "size": s.size, "color": s.color}
            for s in self.desk.strokes(self.index)
        ]
        painted = {"frame": self.index, "strokes": strokes}
        self.stage.configure(painted=painted, version=self.picture_version(), **values)

    async def _stroke(self, entry: dict[str, Any]) -> None:
        index, known = int(entry["frame"]), int(entry["id"])
        async with self._painting:
            await self.do(lambda: self.desk.add_stroke(index, stroke_from(entry)))
        self._send_strokes(known=known)

    async def _again(self, what: str) -> None:
        index = self.index
        await self.do(lambda: getattr(self.desk, what)(index))
        self._send_strokes()

    def set_color(self, color: str) -> None:
        """Paint in another colour from now on."""
        self.color = color
        self.chip.style(f"color: {color}")
        self.stage.configure(color=color)
        if self.tool in ("look", "pick", "erase", "keep"):
            self._set_tool("brush")

    async def _command(self, key: str) -> None:
        if key in _KEYS:
            self._set_tool(_KEYS[key])
        elif key == "s":
            await self.keep()
        elif key == "c":
            self.desk.color(self.index)
        elif key == "n":
            await self._advise()

    async def keep(self) -> None:
        """Make the painted frame a still."""
        index = self.index
        self.stage.configure(busy="writing the still")
        still = await self.do(lambda: self.desk.keep_painting(index))
        self.stage.configure(busy="")
        if still is not None:
            ui.notify(f"frame {index} is a still now", type="positive")
            if self.panel.follow.value:
                self.desk.color(index)

    async def _advise(self) -> None:
        frame = await self.do(self.desk.advice)
        if frame is None:
            ui.notify("every shot is covered by its stills")
        else:
            self.stage.show(frame)
            ui.notify(f"a still of frame {frame} would help most")

    def edit(self, edit: Callable[[Project], Project]) -> None:
        """Change the project; what makes no sense becomes a notice."""
        try:
            self.desk.change(edit)
        except FilmError as error:
            ui.notify(str(error), type="warning")
            self.desk.touch()

    async def do(self, work: Callable[[], Any]) -> Any:
        """Do something long outside the page's loop; what is wrong becomes a notice, and the page lives on."""
        try:
            return await run.io_bound(work)
        except (FilmError, OSError) as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return None

    def _export(self) -> None:
        if self.studio.desk is not None:
            export_dialog(self.studio)

    # What is shown

    def picture_version(self) -> str:
        """Part of a picture's address, which changes when pictures may have changed."""
        return f"{self.desk.stamp}.{self.desk.version}"

    async def _refresh(self) -> None:
        if self._opened != self.studio.opened:
            ui.navigate.reload()
            return
        if self.studio.desk is None:
            return
        desk = self.desk
        self._show_status()
        seen = (desk.version, self.studio.opened)
        if seen == self._seen:
            return
        first = self._seen[0] < 0
        self._seen = seen
        for notice in desk.notices:
            if notice not in self._told:
                self._told.add(notice)
                ui.notify(notice, type="warning", multi_line=True, timeout=0, close_button="OK")
        self.title.set_text(desk.project.film.name)
        covered = await run.io_bound(desk.covered)
        ranges = desk.project.ranges(len(desk))
        shots = [
            {"start": frames.start, "stop": frames.stop, "grey": shot.grey}
            for shot, frames in zip(desk.project.shots, ranges, strict=True)
        ]
        stills = [still.frame for still in desk.project.stills if still.frame is not None]
        self.timeline.configure(
            total=len(desk), shots=shots, stills=stills, covered=_bins(covered), index=self.index
        )
        if first:
            self.stage.configure(color=self.color)
            self._show_place()
        self._send_strokes()
        self.panel.show_shot()
        self.panel.show_stills()

    def _show_status(self) -> None:
        desk = self.desk
        coloring = desk.coloring
        self.meter.set_visibility(coloring is not None)
        if coloring is not None:
            done, total = coloring
            self.meter.set_value(done / max(1, total))
            text = f"colouring {done} of {total}"
        elif desk.problem:
            text = desk.problem
        elif not desk.project.surveyed or desk.surveyed_frames < len(desk):
            text = f"looking for cuts: {desk.surveyed_frames} of {len(desk)}"
        else:
            text = "ready"
        self.status.set_text(text)


def _bins(covered: np.ndarray | None, most: int = 1200) -> list[int]:
    """Coverage of each stretch of frames, from 0 (guessed) to 100 (covered); -1 where nothing is coloured."""
    if covered is None:  # the page is going away
        return []
    parts = np.array_split(covered.astype(np.float32) / 255.0, min(most, max(1, len(covered))))
    made = [part[part > 0] for part in parts if len(part)]
    return [round(100.0 * (1.0 - float(lacking(part.mean())))) if len(part) else -1 for part in made]
