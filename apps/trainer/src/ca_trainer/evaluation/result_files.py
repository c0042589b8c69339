"""The files of an evaluation: results.json, results.csv, table.md, table.tex and report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ca_metrics

from ca_trainer.evaluation.assessment import Assessment
from ca_trainer.evaluation.measures import PAPER_MEASURES, SUMMARY_MEASURES
from ca_trainer.evaluation.report import display_names, grouped, report_html, summary_rows
from ca_trainer.evaluation.results import FORMAT, Results
from ca_trainer.evaluation.tables import TableRow, counted, csv_table, latex_table, markdown_table
from ca_trainer.files import write_json
from ca_trainer.provenance import environment

__all__ = ["write_comparison", "write_run"]


def write_run(records: Mapping[str, Mapping[str, Any]], assessment: Assessment, dataset: str) -> Results:
    """Write one run, all clips scored.

    Args:
        records: what ``Assessment.run`` found, by clip.
        assessment: what was run.
        dataset: name of the data set in tables.

    Returns:
        The run as it stands in ``results.json``.
    """
    out = assessment.out
    content = _content(records, assessment, dataset)
    write_json(out / "results.json", content)
    results = Results(out, content)
    rows = [TableRow(clip, figures) for clip, figures in results.clips.items()]
    (out / "results.csv").write_text(csv_table([*rows, TableRow("mean", results.mean)], ca_metrics.METRICS))
    _write_tables([results], out, published=False)
    return results


def write_comparison(runs: Sequence[Results], out: Path, *, published: bool) -> str:
    """Write one report over several runs.

    Args:
        runs: what earlier evaluations wrote.
        out: folder of ``report.html``, ``table.md``, ``table.tex`` and ``results.csv``.
        published: whether to add rows that others printed, marked as not measured.

    Returns:
        The Markdown tables.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [TableRow(name, run.mean) for name, run in zip(display_names(runs), runs, strict=True)]
    (out / "results.csv").write_text(csv_table(rows, ca_metrics.METRICS, first="method"))
    return _write_tables(runs, out, published=published)


def _content(
    records: Mapping[str, Mapping[str, Any]], assessment: Assessment, dataset: str
) -> dict[str, Any]:
    scores = {clip: ca_metrics.ClipScores(**record["scores"]) for clip, record in records.items()}
    mean = ca_metrics.mean_scores(scores)
    sizes = {tuple(record["size"]) for record in records.values()}
    rule = assessment.protocol
    identity = dict(assessment.colorizer.identity)
    weights = identity.pop("weights", None) or {"name": None, "sha256": None}
    return {
        "format": FORMAT,
        "name": assessment.colorizer.name,
        **identity,
        "weights": weights["name"],
        "weights_hash": weights["sha256"],
        "dataset": dataset,
        "protocol": rule.name,
        "reference_every": rule.reference_every,
        "protocol_description": rule.description,
        "size": "x".join(map(str, reversed(sizes.pop()))) if len(sizes) == 1 else "own size",
        "resized": assessment.size is not None,
        "mean": {key: getattr(mean, key) for key in ca_metrics.METRICS},
        "missing": {**mean.notes},
        "clips": {
            clip: {key: getattr(score, key) for key in ca_metrics.METRICS} for clip, score in scores.items()
        },
        "frames": {
            clip: {"frame": record["frame"], **record["scores"]["per_frame"]}
            for clip, record in records.items()
        },
        "moments": {clip: record["moments"] for clip, record in records.items()},
        **environment(),
    }


def _write_tables(runs: Sequence[Results], out: Path, *, published: bool) -> str:
    markdown, latex = [], []
    for members in grouped(runs):
        rows = summary_rows(members, published=published)
        dataset, protocol, size, clips = members[0].setting
        caption = f"{dataset}, {counted(len(clips), 'clip')}, {size}, protocol {protocol}"
        markdown.append(f"{caption}\n\n{markdown_table(rows, SUMMARY_MEASURES)}")
        latex.append(latex_table(rows, PAPER_MEASURES, caption=f"Results on {caption}"))
    text = "\n".join(markdown)
    (out / "table.md").write_text(text)
    (out / "table.tex").write_text("\n".join(latex))
    (out / "report.html").write_text(report_html(runs, published=published))
    return text
