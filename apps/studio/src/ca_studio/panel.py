"""The panel beside the frame: brush and palette, the shot, the stills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ca_film.project import ALL_SHOTS, OWN_SHOT, Still
from nicegui import events, ui

if TYPE_CHECKING:
    from ca_studio.page import StudioPage

__all__ = ["FIRST_PALETTE", "Panel"]

FIRST_PALETTE = ["#c99a7c", "#8a5a3c", "#5f7d3a", "#8fb3d9", "#3f5f8f", "#a33b32", "#d8c27a", "#6b6b6b"]
_LARGEST_UPLOAD = 200 << 20
_MOST_SWATCHES = 20
_SHARES = """(event) => emit({
  x: event.offsetX / event.target.clientWidth, y: event.offsetY / event.target.clientHeight, alt: event.altKey })"""


class Panel:
    """Brush, shot and stills of one tab.

    Args:
        tab: whose panel it is.
    """

    def __init__(self, tab: StudioPage) -> None:
        self.tab = tab
        self._shown: tuple[Any, ...] | None = None

    def build(self) -> None:
        """Lay it out."""
        ui.html("<h3>Paint</h3>", sanitize=False)
        with ui.row().classes("items-center no-wrap w-full"):
            ui.label("Brush")
            self.brush_size = (
                ui.number(value=1.2, min=0.2, max=20, step=0.2, suffix="%", on_change=self._brush)
                .props("dense outlined")
                .style("width: 92px")
            )
            ui.button("Use as still", icon="check", on_click=self.tab.keep).props(
                "no-caps dense unelevated"
            ).classes("q-px-sm").tooltip("The painted frame becomes a still (S)").props(
                "data-testid=use-still"
            )
        self.follow = ui.switch("Colour the shot at once", value=True)
        self.swatches = ui.element("div").classes("swatches").props("data-testid=swatches")
        ui.html("<h3>Shot</h3>", sanitize=False)
        self.shot_label = ui.label("").classes("mono").props("data-testid=shot")
        with ui.row().classes("items-center no-wrap w-full").style("gap: 10px"):
            ui.label("Saturation").style("width: 76px")
            self.saturation: ui.slider = (
                ui.slider(min=0, max=2, step=0.05, value=1)
                .props("label")
                .on("change", lambda: self._shot(saturation=float(self.saturation.value)))
            )
        with ui.row().classes("items-center no-wrap w-full").style("gap: 10px"):
            ui.label("Strength").style("width: 76px")
            self.strength: ui.slider = (
                ui.slider(min=0, max=1, step=0.05, value=1)
                .props("label")
                .on("change", lambda: self._shot(strength=float(self.strength.value)))
            )
        self.grey: ui.switch = ui.switch("Leave grey").on(
            "click", lambda: self._shot(grey=bool(self.grey.value))
        )
        with ui.row().style("gap: 4px"):
            small = "flat no-caps dense"
            ui.button(
                "Cut here",
                icon="content_cut",
                on_click=lambda: self.tab.edit(lambda p: p.cut(self.tab.index)),
            ).props(small).props("data-testid=cut")
            ui.button(
                "Join to the one before",
                icon="merge",
                on_click=lambda: self.tab.edit(lambda p: p.merge(p.shot_at(self.tab.index).start)),
            ).props(small).props("data-testid=merge")
        ui.html("<h3>Stills</h3>", sanitize=False)
        self.stills = ui.column().classes("w-full").style("gap: 8px").props("data-testid=stills")
        ui.upload(
            label="Add a still (drop it here)",
            auto_upload=True,
            multiple=True,
            max_file_size=_LARGEST_UPLOAD,
            on_upload=self._uploaded,
            on_rejected=lambda: ui.notify("too large, or no picture", type="warning"),
        ).props("flat bordered accept=image/*").classes("w-full").props("data-testid=upload")
        self.keep_colors: ui.switch = (
            ui.switch("Keep the film's own colours")
            .tooltip("A logo, a title: in the export they stay as they are, where the film has colour")
            .on("click", lambda: self._keep_colors(bool(self.keep_colors.value)))
        )
        self.keep_colors.set_visibility(False)
        self.upload_here = ui.checkbox("It is the frame shown", value=False)

    def show_shot(self) -> None:
        """Show the settings of the shot of the frame shown."""
        desk = self.tab.desk
        shot = desk.project.shot_at(self.tab.index)
        number = desk.project.shots.index(shot)
        frames = desk.project.ranges(len(desk))[number]
        self.shot_label.set_text(
            f"shot {number + 1} of {len(desk.project.shots)}: {frames.start}-{frames.stop - 1}"
        )
        self.saturation.set_value(shot.saturation)
        self.strength.set_value(shot.strength)
        self.grey.set_value(shot.grey)
        self.keep_colors.set_value(desk.project.keep_colors)
        self.keep_colors.set_visibility(desk.has_own_colors or desk.project.keep_colors)

    def show_stills(self) -> None:
        """Show the stills and their palette, if they changed."""
        desk = self.tab.desk
        stills = desk.project.stills
        stamp = (stills, tuple(self._times()))
        if stamp == self._shown:
            return
        self._shown = stamp
        self.stills.clear()
        with self.stills:
            if not stills:
                ui.label("None yet: paint a frame, or drop a picture below.").classes("text-caption").style(
                    "opacity: .7"
                )
            for still in stills:
                self._still_row(still)
        self.swatches.clear()
        palette = ["#{:02x}{:02x}{:02x}".format(*color) for color in desk.palette()] if stills else []
        with self.swatches:
            for color in [*palette, *FIRST_PALETTE][:_MOST_SWATCHES]:
                ui.element("div").classes("swatch").style(f"background: {color}").on(
                    "click", lambda color=color: self.tab.set_color(color)
                )

    def _times(self) -> list[int]:
        files = [self.tab.desk.folder.path / still.file for still in self.tab.desk.project.stills]
        return [file.stat().st_mtime_ns if file.exists() else 0 for file in files]

    def _still_row(self, still: Still) -> None:
        query = f"file={quote(still.file)}"
        with ui.element("div").classes("still"):
            picture = ui.html(
                f'<img src="desk/still/small?{query}&v={self.tab.picture_version()}" alt="">', sanitize=False
            )
            picture.tooltip("Go to its frame; with the picker (X) or Alt: take the colour from here")
            picture.on("click", lambda event: self._still_clicked(still, event.args), js_handler=_SHARES)
            with ui.column().style("gap: 2px; flex: 1; min-width: 0"):
                name = f"frame {still.frame}" if still.frame is not None else Path(still.file).stem
                ui.label(name).classes("ellipsis w-full")
                own = {OWN_SHOT: "its shot"} if still.frame is not None else {}
                named = (
                    {}
                    if isinstance(still.shots, str)
                    else {"named": "shots " + ", ".join(map(str, still.shots))}
                )
                value = still.shots if isinstance(still.shots, str) else "named"
                ui.select(
                    {**own, ALL_SHOTS: "all shots", "here": "the shot shown", **named},
                    value=value,
                    on_change=lambda event: self._bind(still, event.value),
                ).props("dense borderless options-dense").style("max-height: 28px; min-width: 110px")
            with ui.button(icon="more_vert").props("flat round dense"), ui.menu():
                ui.menu_item("Take out as PNG", lambda: ui.download(f"/desk/still?{query}"))
                ui.menu_item("Remove", lambda: self._do_soon(lambda: self.tab.desk.remove_still(still.file)))

    async def _still_clicked(self, still: Still, place: dict[str, Any]) -> None:
        if place["alt"] or self.tab.tool == "pick":
            color = await self.tab.do(
                lambda: self.tab.desk.still_color(still.file, float(place["x"]), float(place["y"]))
            )
            if color is not None:
                self.tab.set_color("#{:02x}{:02x}{:02x}".format(*color))
        elif still.frame is not None:
            self.tab.stage.show(still.frame)

    def _bind(self, still: Still, value: str) -> None:
        shots: str | tuple[int, ...] = value
        if value == "named":
            return
        if value == "here":
            before = () if isinstance(still.shots, str) else still.shots
            if still.shots == OWN_SHOT and still.frame is not None:
                before = (still.frame,)
            shots = tuple(sorted({*before, self.tab.desk.project.shot_at(self.tab.index).start}))
        self.tab.edit(lambda project: project.with_still(replace(still, shots=shots)))

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        data, name = await event.file.read(), event.file.name
        frame = self.tab.index if self.upload_here.value else None
        still = await self.tab.do(lambda: self.tab.desk.add_still(data, name, frame))
        if still is not None and self.follow.value:
            self.tab.desk.color(self.tab.index)

    def _brush(self, event: events.ValueChangeEventArguments) -> None:
        if event.value:
            self.tab.stage.configure(size=float(event.value) / 100)

    def _keep_colors(self, keep: bool) -> None:
        self.tab.edit(lambda project: replace(project, keep_colors=keep))

    def _shot(self, **values: Any) -> None:
        shot = replace(self.tab.desk.project.shot_at(self.tab.index), **values)
        self.tab.edit(lambda project: project.with_shot(shot))

    def _do_soon(self, work: Callable[[], Any]) -> None:
        async def later() -> None:
            await self.tab.do(work)

        ui.timer(0, later, once=True)
