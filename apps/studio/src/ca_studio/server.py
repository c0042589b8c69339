"""The server: pictures by address, everything else through the page."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from ca_film import FilmError
from fastapi import HTTPException, Response
from fastapi.responses import FileResponse
from nicegui import app, ui

from ca_studio.access import Gate, is_local
from ca_studio.page import StudioPage
from ca_studio.studio import Studio

__all__ = ["new_token", "serve"]

_LAYERS = ("grey", "color", "confidence")
_UNCHANGING = {"Cache-Control": "private, max-age=3600"}


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(18)


def serve(studio: Studio, host: str, port: int, token: str | None, *, show: bool) -> None:
    """Serve the studio until it is stopped.

    Args:
        studio: what is served.
        host: address to listen on.
        port: port to listen on.
        token: what visitors must know; None for none.
        show: whether to open the browser.
    """
    _add_pictures(studio)

    @ui.page("/", title="ColorAlign studio")
    def page() -> None:
        StudioPage(studio).build()

    # On this machine alone a foreign name for it is an attack (DNS rebinding); elsewhere the token protects.
    hosts: Sequence[str] | None = ("127.0.0.1", "localhost", "[::1]") if is_local(host) else None
    app.add_middleware(Gate, hosts=hosts, token=token)
    app.on_shutdown(studio.close)
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/" + (
        f"?token={token}" if token else ""
    )
    print(f"studio: {address}", flush=True)
    ui.run(
        host=host,
        port=port,
        title="ColorAlign studio",
        show=("/?token=" + token if token else True) if show else False,
        reload=False,
        dark=None,
        show_welcome_message=False,
        favicon="🎨",
        uvicorn_logging_level="warning",
    )


def _add_pictures(studio: Studio) -> None:
    def desk_picture(make: Callable[[], bytes]) -> Response:
        try:
            return Response(make(), media_type="image/jpeg", headers=_UNCHANGING)
        except (FilmError, OSError) as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/desk/frame/{index}")
    def frame(index: int, layer: str = "color") -> Response:
        if studio.desk is None or layer not in _LAYERS:
            raise HTTPException(404, "no such picture")
        desk = studio.desk
        return desk_picture(lambda: desk.frame_jpeg(index, layer))

    @app.get("/desk/thumb/{index}")
    def thumb(index: int) -> Response:
        if studio.desk is None:
            raise HTTPException(404, "no film is open")
        desk = studio.desk
        return desk_picture(lambda: desk.thumbnail_jpeg(index))

    @app.get("/desk/still/small")
    def small_still(file: str) -> Response:
        if studio.desk is None:
            raise HTTPException(404, "no film is open")
        desk = studio.desk
        return desk_picture(lambda: desk.still_jpeg(file))

    @app.get("/desk/still")
    def still(file: str) -> FileResponse:
        if studio.desk is None:
            raise HTTPException(404, "no film is open")
        try:
            path = studio.desk.still_png(file)
        except FilmError as error:
            raise HTTPException(404, str(error)) from error
        return FileResponse(path, filename=Path(file).name)
