"""Strangers stay out, files outside the allowed folders stay unread."""

import asyncio
from pathlib import Path

import pytest
from ca_film import FilmError
from ca_studio.access import Folders, Gate


def ask(gate: Gate, path: str = "/", query: str = "", kind: str = "http", **headers: str) -> int:
    """The status that a request gets; 101 for a websocket that is let in."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {}

    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(gate(scope, receive, send))
    if kind == "websocket":
        return 403 if sent[0]["type"] == "websocket.close" else 101
    return int(sent[0]["status"])


async def welcome(scope: dict, receive: object, send) -> None:  # noqa: ARG001
    kind = "http.response.start" if scope["type"] == "http" else "websocket.accept"
    await send({"type": kind, "status": 200, "headers": []})


LOCAL = ("127.0.0.1", "localhost")


def test_this_machine_comes_in_under_its_own_name_only() -> None:
    gate = Gate(welcome, LOCAL, None)
    assert ask(gate, host="127.0.0.1:8460") == 200
    assert ask(gate, host="localhost:8460", origin="http://localhost:8460") == 200
    assert ask(gate, host="evil.example:8460") == 403
    assert ask(gate, host="127.0.0.1:8460", origin="http://evil.example") == 403
    assert ask(gate, kind="websocket", host="127.0.0.1:8460", origin="http://evil.example") == 403
    assert ask(gate, kind="websocket", host="127.0.0.1:8460", origin="http://127.0.0.1:8460") == 101


def test_other_machines_need_the_token() -> None:
    gate = Gate(welcome, None, "secret")
    assert ask(gate, host="studio:80") == 403
    assert ask(gate, host="studio:80", query="token=guess") == 403
    assert ask(gate, host="studio:80", query="token=secret") == 200
    assert ask(gate, host="studio:80", cookie="studio_token=secret") == 200
    assert ask(gate, host="studio:80", cookie="studio_token=guess", kind="websocket") == 403


def test_links_are_followed_before_a_path_is_judged(tmp_path: Path) -> None:
    inside, outside = tmp_path / "films", tmp_path / "private"
    inside.mkdir()
    outside.mkdir()
    (outside / "film.mp4").touch()
    (inside / "link").symlink_to(outside)
    folders = Folders([inside])
    assert folders.check(inside / "a.mp4") == inside / "a.mp4"
    for path in (outside / "film.mp4", inside / "link" / "film.mp4", inside / ".." / "private" / "film.mp4"):
        with pytest.raises(FilmError, match="outside the allowed folders"):
            folders.check(path)
    with pytest.raises(FilmError, match="is no folder"):
        Folders([inside / "a.mp4"])
