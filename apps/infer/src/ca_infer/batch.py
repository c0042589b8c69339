"""`batch`: many films, each under its own name in one folder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ca_infer.arguments import parse_size
from ca_infer.errors import EXIT_DONE, EXIT_FILMS_FAILED, EXIT_PARTLY_DECODED, InferError

if TYPE_CHECKING:
    from ca_film import ColorizeOptions
    from ca_film.batch import BatchFilm, Entry

__all__ = ["batch"]

_WHOLE_LINES = 10_000


def batch(
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder that all outputs go to.")],
    films: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILM...",
            help="Films, folders of frames, projects, folders of these, or lists (films.toml).",
        ),
    ] = None,
    refs: Annotated[
        list[Path] | None,
        typer.Option(
            "--refs",
            help="As for colorize; in a folder of stills, a folder of a film's name is for that film.",
        ),
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Also colour what arrives in this folder, until Ctrl-C.")
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0.0, help="Seconds without a change after which a film has arrived.")
    ] = 10.0,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="local, or the address of a Ray cluster: parts of films side by side on its machines."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="With --cluster: an fsspec address for the outputs; --out then keeps the record."),
    ] = None,
    devices: Annotated[
        str,
        typer.Option(
            help="auto, or cuda:0,cuda:1; cpu:2 for two at a time; with --cluster auto, cuda or cpu."
        ),
    ] = "auto",
    weights: Annotated[str | None, typer.Option(help="As for colorize.")] = None,
    size: Annotated[str, typer.Option(help="As for colorize.")] = "384x224",
    codec: Annotated[str | None, typer.Option(help="As for colorize.")] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="As for colorize.")] = None,
    keep_colors: Annotated[bool, typer.Option("--keep-colors", help="As for colorize.")] = False,
    report: Annotated[bool, typer.Option(help="A coverage report beside each output.")] = False,
    refs_per_shot: Annotated[int, typer.Option(min=1, help="As for colorize.")] = 8,
    segment: Annotated[int, typer.Option(min=1, help="As for colorize.")] = 240,
    cut_at_stills: Annotated[bool, typer.Option("--cut-at-stills", help="As for colorize.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that no earlier run of this batch made.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what earlier runs did.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only, in place of the table.")] = False,
) -> int:
    """Colourise many films; one that fails stops no other, and the same command goes on where it stopped."""
    from ca_film import ColorizeOptions, as_options
    from ca_film.batch import BatchRecord, Watch, color_batch, color_on_cluster, parse_devices, parse_kind

    from ca_infer.batch_bar import BatchBar

    options = ColorizeOptions(
        references=tuple(refs or ()),
        references_per_shot=refs_per_shot,
        keep_colors=keep_colors,
        weights=weights,
        size=parse_size(size),
        overwrite=overwrite,
        restart=restart,
        codec=codec,
        crf=crf,
        segment=segment,
        cut_at_stills=cut_at_stills,
        report=report,
    )
    if store is not None and cluster is None:
        raise InferError("--store goes with --cluster; add it, or leave --store out")
    if not films and watch is None:
        raise InferError("batch needs films, got none; name films, folders or lists, or --watch FOLDER")
    wanted = _films(films or [], options)
    places = parse_devices(devices) if cluster is None else []
    kind, count = ("", None) if cluster is None else parse_kind(devices)
    tally = None
    watching = Watch(watch, options, settle) if watch is not None else None
    with BatchRecord(out, restart=restart) as record:
        try:
            with BatchBar() as bar:
                if cluster is None:
                    color_batch(record, wanted, places, bar, watching)
                else:
                    _, tally = color_on_cluster(
                        record,
                        wanted,
                        cluster,
                        device=kind,
                        places=count,
                        progress=bar,
                        watch=watching,
                        store=store,
                    )
        finally:
            entries = [replace(entry, line=as_options(entry.line)) for entry in record.entries()]
            if as_json:
                print(json.dumps([asdict(entry) for entry in entries]))
            elif entries:
                _show(entries)
    if tally is not None:
        print(
            f"{tally.painted} frames coloured in {sum(tally.tasks.values())} tasks, {tally.twice} of them twice",
            file=sys.stderr,
        )
    return _exit_code(entries)


def _films(named: list[str], options: ColorizeOptions) -> list[BatchFilm]:
    from ca_film.batch import find_films, read_film_list

    found: list[BatchFilm] = []
    for name in named:
        is_list = name.lower().endswith(".toml")
        found += read_film_list(Path(name), options) if is_list else find_films([name], options)
    return [film for number, film in enumerate(found) if film not in found[:number]]


def _exit_code(entries: list[Entry]) -> int:
    from ca_film.batch import DONE

    if any(entry.state != DONE for entry in entries):
        return EXIT_FILMS_FAILED
    return EXIT_PARTLY_DECODED if any(entry.problems for entry in entries) else EXIT_DONE


def _show(entries: list[Entry]) -> None:
    table = Table("film", "output", "frames", "shots", "seconds", "", box=None, pad_edge=False)
    for entry in entries:
        what = entry.line or entry.state
        if entry.problems:
            what = f"{entry.state}, but {len(entry.problems)} parts did not decode: {entry.problems[0]}"
        numbers = [str(number or "") for number in (entry.frames, entry.shots, round(entry.seconds, 1))]
        table.add_row(*(escape(text) for text in (entry.film, entry.out, *numbers, what)))
    # A terminal folds lines; a file or another program gets them whole.
    Console(width=None if sys.stdout.isatty() else _WHOLE_LINES).print(table)
    counts = {
        state: sum(entry.state == state for entry in entries) for state in ("done", "failed", "waiting")
    }
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "done"))
