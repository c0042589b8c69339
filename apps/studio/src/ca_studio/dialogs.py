"""Dialogs: opening a film, exporting it, the queue."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ca_film import FilmError
from ca_film.project import SUFFIX, is_project
from nicegui import events, run, ui

from ca_studio.queue import CANCELLED, FAILED, RUNNING, WAITING, Export
from ca_studio.studio import FILM_SUFFIXES, Studio

__all__ = ["export_dialog", "open_dialog", "queue_dialog"]

_LARGEST_FILM = 4 << 30
_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dpx")
_MOST_ENTRIES = 500
_CODECS = {
    "": "by the ending",
    "h264": "H.264",
    "hevc": "H.265",
    "av1": "AV1",
    "prores": "ProRes",
    "ffv1": "FFV1",
}


def open_dialog(studio: Studio) -> None:
    """A file browser within the allowed folders, and upload."""
    with ui.dialog(value=True) as dialog, ui.card().style("width: 640px; max-width: 92vw"):
        ui.label("Open a film, a folder of frames or a project").classes("text-subtitle1")
        where = ui.label("").classes("text-caption ellipsis w-full")
        entries = (
            ui.list()
            .props("dense bordered separator")
            .classes("w-full")
            .style("height: 46vh; overflow-y: auto")
        )

        async def choose(path: Path) -> None:
            try:
                await run.io_bound(lambda: studio.open(path))
            except (FilmError, OSError) as error:
                ui.notify(str(error), type="warning", multi_line=True)
                return
            dialog.close()

        def enter(folder: Path) -> None:
            try:
                real = studio.folders.check(folder)
                found = sorted(real.iterdir(), key=lambda path: (not path.is_dir(), path.name.lower()))
            except (FilmError, OSError) as error:
                ui.notify(str(error), type="warning")
                return
            where.set_text(str(real))
            entries.clear()
            with entries:
                if real not in studio.folders.allowed:
                    ui.item("..", on_click=lambda: enter(real.parent))
                frames = sum(path.suffix.lower() in _IMAGES for path in found)
                if frames > 1:
                    ui.item(f"open this folder of {frames} frames", on_click=lambda: choose(real))
                shown = [path for path in found if path.name[0] != "." and path.suffix != ".partial"]
                for path in shown[:_MOST_ENTRIES]:
                    if is_project(path) or path.suffix.lower() in FILM_SUFFIXES:
                        _entry(
                            "movie" if path.is_file() else "palette",
                            path.name,
                            lambda path=path: choose(path),
                        )
                    elif path.is_dir() and not path.name.endswith(SUFFIX):
                        _entry("folder", path.name, lambda path=path: enter(path))

        async def uploaded(event: events.UploadEventArguments) -> None:
            name = Path(event.file.name).name
            target = studio.folders.allowed[0] / name
            if os.path.lexists(target) or target.suffix.lower() not in FILM_SUFFIXES:
                ui.notify(f"{name} is there already, or is no film", type="warning")
                return
            # Under its own name only once all of it is there.
            part = target.with_name(f".{secrets.token_hex(4)}.partial")
            try:
                await event.file.save(part)
                part.rename(target)
            except OSError as error:
                ui.notify(f"{name} cannot be written ({error.strerror})", type="warning")
                return
            finally:
                part.unlink(missing_ok=True)
            await choose(target)

        if len(studio.folders.allowed) > 1:
            with ui.row():
                for folder in studio.folders.allowed:
                    ui.chip(folder.name or str(folder), on_click=lambda folder=folder: enter(folder)).props(
                        "clickable"
                    )
        ui.upload(
            label="Upload a film", auto_upload=True, max_file_size=_LARGEST_FILM, on_upload=uploaded
        ).props("flat bordered").classes("w-full")
        enter(studio.folders.allowed[0])


def _entry(icon: str, name: str, act: object) -> None:
    with ui.item(on_click=act):  # type: ignore[arg-type]
        with ui.item_section().props("avatar").style("min-width: 36px"):
            ui.icon(icon)
        with ui.item_section():
            ui.label(name).classes("ellipsis")


def export_dialog(studio: Studio) -> None:
    """Where the coloured film goes and how it is stored."""
    desk = studio.desk
    assert desk is not None
    film = desk.project.film
    suffix = film.suffix if film.suffix.lower() in (".mp4", ".mkv", ".mov") else ".mp4"
    with ui.dialog(value=True) as dialog, ui.card().style("width: 520px; max-width: 92vw"):
        ui.label("Export the coloured film").classes("text-subtitle1")
        out = (
            ui.input("File", value=str(film.with_name(f"{film.stem}_color{suffix}")))
            .classes("w-full")
            .props("data-testid=export-out")
        )
        with ui.row().classes("w-full items-center"):
            codec = ui.select(_CODECS, value="", label="Codec").style("width: 150px")
            crf = (
                ui.number("Quality (CRF)", min=0, max=63, precision=0)
                .style("width: 130px")
                .props("clearable")
            )
        with ui.row():
            audio = ui.checkbox("Copy sound", value=True)
            subtitles = ui.checkbox("Copy subtitles", value=True)
            overwrite = ui.checkbox("Replace the file", value=False)

        def add() -> None:
            try:
                # A name alone goes beside the film.
                target = studio.folders.check(film.parent / Path(out.value or "").expanduser())
                if not desk.project.surveyed:
                    raise FilmError("the film is still being looked through for cuts; wait for it")
            except FilmError as error:
                ui.notify(str(error), type="warning", multi_line=True)
                return
            quality = None if crf.value is None else int(crf.value)
            studio.queue.add(
                Export(
                    str(desk.folder.path.resolve()),
                    str(target),
                    codec.value or None,
                    quality,
                    bool(audio.value),
                    bool(subtitles.value),
                    bool(overwrite.value),
                )
            )
            dialog.close()
            queue_dialog(studio)

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            ui.button("Export", on_click=add).props("no-caps unelevated").props("data-testid=export-start")


def queue_dialog(studio: Studio) -> None:
    """The exports, with progress and time left."""
    with ui.dialog(value=True) as dialog, ui.card().style("width: 720px; max-width: 94vw"):
        ui.label("Exports").classes("text-subtitle1")
        rows = ui.column().classes("w-full").style("gap: 10px").props("data-testid=queue")
        with ui.row().classes("w-full justify-end"):
            ui.button("Close", on_click=dialog.close).props("flat no-caps")

        shown: list[object] = []

        def show() -> None:
            now = [(id(e), e.state, e.stage, e.done, e.message) for e in studio.queue.exports]
            if now == shown and rows.default_slot.children:
                return
            shown[:] = now
            rows.clear()
            with rows:
                if not studio.queue.exports:
                    ui.label("Nothing is waiting.")
                for export in list(studio.queue.exports):
                    _export_row(studio, export)

        show()
        ui.timer(0.5, show)


def _export_row(studio: Studio, export: Export) -> None:
    with ui.row().classes("w-full items-center no-wrap"):
        with ui.column().style("flex: 1; min-width: 0; gap: 2px"):
            ui.label(Path(export.out).name).classes("ellipsis w-full")
            left = studio.queue.seconds_left(export)
            parts = [export.state, export.stage if export.state == RUNNING else export.message]
            if export.total and export.state == RUNNING:
                parts.append(f"{export.done} of {export.total}")
            if left is not None:
                parts.append(f"{left:.0f} s left")
            ui.label(", ".join(part for part in parts if part)).classes("text-caption").style("opacity: .8")
            if export.state == RUNNING and export.total:
                ui.linear_progress(export.done / export.total, show_value=False).props("instant-feedback")
        if export.state in (RUNNING, WAITING):
            ui.button("Cancel", on_click=lambda: studio.queue.cancel(export)).props("flat dense no-caps")
        elif export.state in (CANCELLED, FAILED):
            ui.button("Resume", on_click=lambda: studio.queue.resume(export)).props("flat dense no-caps")
        if export.state != RUNNING:
            ui.button(icon="close", on_click=lambda: studio.queue.remove(export)).props("flat round dense")
