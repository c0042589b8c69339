"""Who may come in, and which files they may touch."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ca_film import FilmError

__all__ = ["Folders", "Gate", "is_local"]

_COOKIE = "studio_token"
_LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")


def is_local(host: str) -> bool:
    """Whether a name or address is this machine alone."""
    return host in _LOCAL


class Folders:
    """The folders that may be read and written, symbolic links followed first.

    Args:
        allowed: at least one.

    Raises:
        FilmError: if one is no folder.

    Example:
        >>> Folders([Path("/tmp")]).check("/etc/passwd")
        Traceback (most recent call last):
        ...
        ca_film.errors.FilmError: /etc/passwd lies outside the allowed folders; start the studio with --allow FOLDER
    """

    def __init__(self, allowed: Sequence[Path]) -> None:
        for folder in allowed:
            if not folder.is_dir():
                raise FilmError(f"--allow {folder} is no folder; check the path")
        self.allowed = tuple(dict.fromkeys(folder.resolve() for folder in allowed))

    def check(self, path: str | Path) -> Path:
        """The path with links followed.

        Raises:
            FilmError: if it lies outside.
        """
        real = Path(path).expanduser().resolve()
        if not any(real.is_relative_to(folder) for folder in self.allowed):
            raise FilmError(f"{path} lies outside the allowed folders; start the studio with --allow FOLDER")
        return real


class Gate:
    """Keeps strangers out, as ASGI middleware around the whole application.

    A request must name this server as its host (a page elsewhere whose name is pointed here does not), come from a
    page of this server where it says where it comes from, and know the token where there is one: once in the
    address, from then on in a cookie.

    Args:
        app: the application.
        hosts: names under which this server is called; None for any.
        token: what a visitor must know; None without.
    """

    def __init__(self, app: Any, hosts: Sequence[str] | None, token: str | None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer 403, or let the application answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if not self._welcome(headers, asked):
            await _refuse(scope, send)
            return

        async def with_cookie(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and self._token is not None and asked:
                cookie = f"{_COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                message = {**message, "headers": [*message["headers"], (b"set-cookie", cookie.encode())]}
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _welcome(self, headers: dict[str, str], asked: str) -> bool:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return False
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != host:
            return False
        if self._token is None:
            return True
        cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        given = (asked, cookie.value if cookie else "")
        return any(hmac.compare_digest(value.encode(), self._token.encode()) for value in given)


def _name(host: str) -> str:
    return host.rsplit(":", 1)[0] if not host.endswith("]") else host


async def _refuse(scope: dict[str, Any], send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send(
        {"type": "http.response.body", "body": b"open the address that the studio printed, token included"}
    )
