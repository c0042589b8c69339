"""Evaluation report: one self-contained HTML page with tables, charts and pictures of every clip."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.colors import to_hex

from ca_trainer.evaluation.charts import COLORS, ERROR_RANGE, bar_chart, time_charts
from ca_trainer.evaluation.measures import MEASURES, SUMMARY_MEASURES
from ca_trainer.evaluation.published import published_rows
from ca_trainer.evaluation.results import Results
from ca_trainer.evaluation.tables import TableRow, counted, in_paper_order, marks
from ca_trainer.pages import render_page

__all__ = ["grouped", "report_html", "summary_rows"]

_PAPER_TABLES = {"davis": "Table 1. ", "videvo": "Table 2. "}


def report_html(runs: Sequence[Results], *, published: bool = True) -> str:
    """Report as a page of HTML.

    Runs that differ in data set, protocol, size or clips stand in separate tables, DAVIS and Videvo first as
    in the paper.

    Args:
        runs: one run or several.
        published: whether to add the rows that others printed, marked as not measured.

    Returns:
        A page that needs no other file and no network.
    """
    runs = in_paper_order(runs)
    groups = [_group(members, published) for members in grouped(runs)]
    names = display_names(runs)
    title = (
        f"Colourisation of {runs[0].data['dataset']}: {names[0]}"
        if len(runs) == 1
        else "Comparison: " + ", ".join(names)
    )
    return render_page(
        "report.html.j2",
        title=title,
        subtitle="Best figure bold, second best underlined, among the measured rows.",
        groups=groups,
        measures=MEASURES.values(),
        runs=[{"name": name, "facts": _facts(run)} for name, run in zip(names, runs, strict=True)],
        error_range=int(ERROR_RANGE),
        error_colors=[to_hex(colormaps["inferno"](place / 8)) for place in range(9)],
    )


def grouped(runs: Sequence[Results]) -> list[list[Results]]:
    """Split runs into those that may stand in one table, the paper's data sets first.

    Args:
        runs: runs in any order.

    Returns:
        Lists of runs with the same data set, protocol, size and clips, in the paper's order of methods.
    """
    order = [*_PAPER_TABLES, ""]
    settings = list(dict.fromkeys(run.setting for run in runs))
    settings.sort(key=lambda setting: order.index(_paper_set(setting[0])))
    return [in_paper_order([run for run in runs if run.setting == setting]) for setting in settings]


def summary_rows(runs: Sequence[Results], *, published: bool = True) -> list[TableRow]:
    """Rows of the main table of one group, in the paper's order.

    Args:
        runs: runs of one group.
        published: whether to add the printed rows of that data set.

    Returns:
        The rows.
    """
    rows = [TableRow(name, run.mean) for name, run in zip(display_names(runs), runs, strict=True)]
    printed = [TableRow.of(row) for row in published_rows(str(runs[0].data["dataset"]))] if published else []
    return in_paper_order([TableRow.truth(runs[0].mean), *printed, *rows])


def display_names(runs: Sequence[Results]) -> list[str]:
    """Names of the runs, told apart by their folders where two are called the same."""
    names = [run.name for run in runs]
    return [
        f"{name} ({run.folder.resolve().name})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _paper_set(dataset: str) -> str:
    rows = published_rows(dataset)
    return rows[0].dataset if rows else ""


def _group(runs: Sequence[Results], published: bool) -> dict[str, Any]:
    first = runs[0]
    names = display_names(runs)
    dataset, protocol, size, clips = first.setting
    colors = {name: COLORS[number % len(COLORS)] for number, name in enumerate(names)}
    by_name = dict(zip(names, runs, strict=True))
    scored = sum(len(frames["frame"]) for frames in first.frames.values())
    return {
        "title": (_PAPER_TABLES.get(_paper_set(dataset), "") if len(runs) > 1 else "")
        + f"{dataset}, {protocol}, {size}",
        "description": f"{counted(len(clips), 'clip')}, {scored} scored frames. {first.data['protocol_description']}.",
        "runs": [{"name": name, "color": color} for name, color in colors.items()],
        "summary": _table(
            summary_rows(runs, published=published), "Method", SUMMARY_MEASURES, first.data.get("missing", {})
        ),
        "psnr_bars": _bars(by_name, clips, "psnr"),
        "cdc_bars": _bars(by_name, clips, "cdc_distance"),
        "time_lines": time_charts(clips, {name: _lines(run) for name, run in by_name.items()}),
        "strip_note": _strip_note(len(runs)),
        "clips": _clip_sections(by_name, clips),
        "clip_tables": [{**_clip_table(run), "title": name} for name, run in by_name.items()],
    }


def _bars(runs: Mapping[str, Results], clips: Sequence[str], key: str) -> str:
    figures = {name: [run.clips[clip].get(key) for clip in clips] for name, run in runs.items()}
    return bar_chart(clips, figures, key)


def _lines(run: Results) -> dict[str, tuple[list[int], list[float]]]:
    lines = {}
    for clip, frames in run.frames.items():
        pairs = [
            (n, value) for n, value in zip(frames["frame"], frames["psnr"], strict=True) if value is not None
        ]
        lines[clip] = [number for number, _ in pairs], [value for _, value in pairs]
    return lines


def _table(
    rows: Sequence[TableRow], first: str, keys: Sequence[str], missing: Mapping[str, str]
) -> dict[str, Any]:
    columns = [MEASURES[key] for key in keys]
    places = {key: marks(rows, key) for key in keys}
    drawn = []
    for number, row in enumerate(rows):
        cells = []
        for measure in columns:
            best, second = places[measure.key]
            place = "best" if number in best else "second" if number in second else ""
            cells.append({"text": row.text(measure.key), "place": place})
        drawn.append(
            {
                "name": row.name,
                "kind": "published" if not row.measured else "" if row.ranked else "truth",
                "cells": cells,
            }
        )
    heads = [
        {"head": measure.head, "meaning": measure.meaning, "unit": "× 10³" if measure.factor == 1e3 else ""}
        for measure in columns
    ]
    notes = [
        f"– {MEASURES[key].title} is missing: {reason}" for key, reason in missing.items() if key in keys
    ]
    for note in dict.fromkeys(row.note for row in rows if not row.measured):
        notes.append(f"{', '.join(row.name for row in rows if row.note == note)}: {note}.")
    return {"first": first, "columns": heads, "rows": drawn, "notes": notes}


def _clip_table(run: Results) -> dict[str, Any]:
    rows = [TableRow(clip, figures, ranked=False) for clip, figures in run.clips.items()]
    table = _table([*rows, TableRow("mean over clips", run.mean, ranked=False)], "Clip", tuple(MEASURES), {})
    for row in table["rows"]:
        row["kind"] = ""
    table["rows"][-1]["kind"] = "mean"
    return table


def _strip_note(runs: int) -> str:
    if runs == 1:
        return "Worst clip first. The middle, the last and the worst scored frame of each clip."
    return "The middle and the last scored frame of each clip."


def _clip_sections(runs: Mapping[str, Results], clips: Sequence[str]) -> list[dict[str, Any]]:
    order = list(clips)
    if len(runs) == 1:
        (only,) = runs.values()
        order.sort(key=lambda clip: only.clips[clip].get("psnr") or float("inf"))
    sections = []
    for clip in order:
        figures = {name: MEASURES["psnr"].format(run.clips[clip].get("psnr")) for name, run in runs.items()}
        summary = ", ".join(
            f"{name} {figure} dB" if len(runs) > 1 else f"{figure} dB" for name, figure in figures.items()
        )
        moments = _moments(runs, clip)
        setting = next(iter(runs.values())).setting
        anchor = "-".join([*setting[:3], clip]).replace(" ", "-")
        sections.append({"name": clip, "anchor": anchor, "summary": summary, "moments": moments})
    return sections


def _moments(runs: Mapping[str, Results], clip: str) -> list[dict[str, Any]]:
    """One picture row for a single run; for several the shared pictures, then outputs over their errors."""
    (name, first), *others = runs.items()
    drawn: list[dict[str, Any]] = []
    for moment in first.data["moments"][clip]:
        label, frame, still = moment["label"], moment["frame"], moment["reference"]
        if label == "worst":
            same = next((other for other in drawn if other["frame"] == frame), None)
            if same is not None and not others:
                same["title"] += " and worst"
            if same is not None or others:
                continue
        shared = {
            "input": _picture(first, clip, label, "input", "input"),
            "reference": _picture(first, clip, label, "reference", f"reference, frame {still}"),
            "truth": _picture(first, clip, label, "truth", "truth"),
        }
        detail = f"frame {frame}" + ("" if others else f", {MEASURES['psnr'].format(moment['psnr'])} dB")
        if not others:
            output = _picture(first, clip, label, "output", name)
            error = _picture(first, clip, label, "error", "error")
            rows = [[shared["input"], shared["reference"], output, shared["truth"], error]]
            columns = 5
        else:
            columns = max(3, min(5, len(runs)))
            rows = [[*shared.values(), *[None] * (columns - 3)]]
            rows += _output_rows(runs, clip, label, columns)
        drawn.append(
            {"title": label.capitalize(), "frame": frame, "detail": detail, "columns": columns, "rows": rows}
        )
    return drawn


def _output_rows(
    runs: Mapping[str, Results], clip: str, label: str, columns: int
) -> list[list[dict[str, str] | None]]:
    rows: list[list[dict[str, str] | None]] = []
    names = list(runs)
    for start in range(0, len(names), columns):
        chosen = names[start : start + columns]
        for kind in ("output", "error"):
            row: list[dict[str, str] | None] = []
            for name in chosen:
                quality = next(m["psnr"] for m in runs[name].data["moments"][clip] if m["label"] == label)
                caption = (
                    f"{name}, {MEASURES['psnr'].format(quality)} dB"
                    if kind == "output"
                    else f"error of {name}"
                )
                row.append(_picture(runs[name], clip, label, kind, caption))
            rows.append(row + [None] * (columns - len(row)))
    return rows


def _picture(run: Results, clip: str, label: str, kind: str, caption: str) -> dict[str, str] | None:
    file: Path = run.folder / "strips" / clip / f"{label}-{kind}.jpg"
    if not file.is_file():
        return None
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    return {"source": f"data:image/jpeg;base64,{content}", "caption": caption, "alt": f"{clip}, {caption}"}


def _facts(run: Results) -> list[tuple[str, str]]:
    data = run.data
    facts = [
        ("method", str(data["method"])),
        ("protocol", f"{data['protocol']}: {data['protocol_description']}"),
    ]
    if data.get("weights"):
        facts.append(("weights", f"{data['weights']} (sha256 {data['weights_hash']})"))
    facts += [(f"{key} missing", reason) for key, reason in data.get("missing", {}).items()]
    facts.append(("command", str(data["command"])))
    facts.append(("versions", ", ".join(f"{name} {number}" for name, number in data["versions"].items())))
    facts.append(("source", str(data["git"]) or "no repository"))
    facts.append(("machine", ", ".join(f"{name}: {value}" for name, value in data["machine"].items())))
    return facts
