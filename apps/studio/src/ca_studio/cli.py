"""The command line of the studio."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["app", "main"]

EXIT_DONE, EXIT_BAD_INPUT = 0, 2
_DEMO = Path("runs/demo-studio")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

# Typer's usage errors share a base that newer versions do not export by name.
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the studio.

    Args:
        arguments: without the program's name; those of the process when None.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    # Threads that wait by spinning take the cores from those that decode.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    from ca_film import FilmError, as_options

    try:
        typer.main.get_command(app).main(
            list(sys.argv[1:] if arguments is None else arguments), prog_name="studio", standalone_mode=False
        )
    except FilmError as error:
        return _fail(as_options(str(error)))
    except _USAGE_ERROR as error:
        return _fail(f"{error.format_message()} (see --help)")
    except (KeyboardInterrupt, typer.Abort):
        pass
    return EXIT_DONE


def _fail(line: str) -> int:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT


@app.command()
def studio(
    film: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILM]", help="A film, a folder of frames or FILM.coloralign; a demonstration without."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; a token is asked for on any but this machine's own.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8460,
    allow: Annotated[
        list[Path] | None,
        typer.Option(
            "--allow", help="Folder to open films from and write to; default the film's, or this one."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
    size: Annotated[
        str | None, typer.Option(help="Pixels for the network, as 384x224; the project's.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Weights of the network; the project's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    state: Annotated[Path | None, typer.Option(help="Folder for the export queue.")] = None,
) -> None:
    """Look at a film, paint a few strokes, colour it again, export it: in the browser."""
    from ca_data import parse_size

    from ca_studio.access import Folders, is_local
    from ca_studio.queue import ExportQueue
    from ca_studio.server import new_token, serve
    from ca_studio.studio import Choices, Studio, demo_film

    path = film if film is not None else demo_film(_DEMO)
    folders = Folders(
        [*(allow or []), *([path.parent] if path.exists() else []), *([] if allow else [Path()])]
    )
    choices = Choices(None if size is None else parse_size(size), weights, device)
    queue = ExportQueue((state or _state_folder()) / "queue.json")
    place = Studio(folders, queue, choices)
    try:
        place.open(path)
        token = None if is_local(host) else new_token()
        serve(place, host, port or _free_port(host), token, show=browser)
    finally:
        place.close()


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "coloralign"


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
