"""Tables of results as Markdown, LaTeX and CSV, ordered and marked as the paper's Tables 1 to 3."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ca_trainer.evaluation.measures import DASH, MEASURES, Measure
from ca_trainer.evaluation.published import PAPER_ORDER, PublishedRow

__all__ = ["TableRow", "counted", "csv_table", "in_paper_order", "latex_table", "markdown_table", "marks"]

NOT_MEASURED = "published, not measured here"
_TEX_MARKS = {"†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "¶": r"$^\P$"}


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Args:
        name: the method.
        values: figures by their key in ``results.json``; None or absent prints a dash.
        note: for a row that was not measured here: where it is from. Empty for a measured row.
        ranked: whether it competes for best and second best; the truth does not.

    Example:
        >>> TableRow("flow", {"psnr": 28.33}).measured
        True
    """

    name: str
    values: Mapping[str, float | None]
    note: str = ""
    ranked: bool = True

    @property
    def measured(self) -> bool:
        """Whether this project computed the figures."""
        return not self.note

    def text(self, key: str) -> str:
        """The figure of one measure as it is printed."""
        return MEASURES[key].format(self.values.get(key), measured=self.measured)

    @classmethod
    def of(cls, row: PublishedRow) -> TableRow:
        """A printed row, marked as such."""
        return cls(row.method, row.metrics, f"{NOT_MEASURED}: {row.source}, {row.protocol}", ranked=False)

    @classmethod
    def truth(cls, values: Mapping[str, float | None]) -> TableRow:
        """The true frames' own figures, from those of any method on the same clips.

        Args:
            values: figures by key, those of the truth ending in ``_truth``.
        """
        own = {key.removesuffix("_truth"): figure for key, figure in values.items() if key.endswith("_truth")}
        return cls("truth", own, ranked=False)


class Named(Protocol):
    """A row, or a run, of some method."""

    @property
    def name(self) -> str:
        """The method's name."""


NamedType = TypeVar("NamedType", bound=Named)


def in_paper_order(rows: Sequence[NamedType]) -> list[NamedType]:
    """Sort as the paper's Tables 1 and 2; methods it does not know (ours) come last, in the order given.

    Args:
        rows: rows, or runs, in any order.

    Returns:
        The same ones.

    Example:
        >>> rows = [TableRow(name, {}) for name in ("base", "SVCNet", "deoldify", "grey")]
        >>> [row.name for row in in_paper_order(rows)]
        ['grey', 'deoldify', 'SVCNet', 'base']
    """
    places = {name.lower(): place for place, name in enumerate(PAPER_ORDER)}
    return sorted(rows, key=lambda row: places.get(row.name.lower(), len(places)))


def marks(rows: Sequence[TableRow], key: str) -> tuple[set[int], set[int]]:
    """Row numbers to set bold (best) and to underline (second best), among the ranked rows, as printed.

    Args:
        rows: rows of one table.
        key: the measure.

    Returns:
        Best and second best; both empty with fewer than two ranked rows or a measure without a better.

    Example:
        >>> marks([TableRow("a", {"psnr": 20.0}), TableRow("b", {"psnr": 30.0}), TableRow("c", {})], "psnr")
        ({1}, {0})
    """
    measure = MEASURES[key]
    figures = {
        number: float(measure.format(row.values.get(key)))
        for number, row in enumerate(rows)
        if row.ranked and row.values.get(key) is not None
    }
    if len(figures) < 2 or measure.better == "none":
        return set(), set()
    ranked = sorted(set(figures.values()), reverse=measure.better == "higher")
    places = [{number for number, figure in figures.items() if figure == value} for value in ranked[:2]]
    return places[0], places[1] if len(places) > 1 else set()


def markdown_table(
    rows: Sequence[TableRow], columns: Sequence[str], *, first: str = "Method", ranked: bool = True
) -> str:
    """Write a Markdown table; published rows are italic and footed with their source.

    Args:
        rows: the rows, in order.
        columns: keys of the measures.
        first: head of the first column.
        ranked: whether to mark best and second best.

    Returns:
        The table and its footnotes.

    Example:
        >>> print(markdown_table([TableRow("flow", {"psnr": 28.33})], ["psnr"]))
        | Method | PSNR ↑ |
        |---|---:|
        | flow | 28.33 |
        <BLANKLINE>
    """
    notes = _footnotes(rows)
    placed = {key: marks(rows, key) if ranked else (set(), set()) for key in columns}
    heads = [_head(MEASURES[key]) for key in columns]
    lines = [f"| {' | '.join([first, *heads])} |", "|---|" + "---:|" * len(columns)]
    for number, row in enumerate(rows):
        cells = [row.name if row.measured else f"*{row.name}* {notes[row.note]}"]
        for key in columns:
            best, second = placed[key]
            frame = "**{}**" if number in best else "<u>{}</u>" if number in second else "{}"
            cells.append(frame.format(row.text(key)))
        lines.append(f"| {' | '.join(cells)} |")
    for note, mark in notes.items():
        lines += ["", f"{mark} {note}"]
    return "\n".join(lines) + "\n"


def latex_table(
    rows: Sequence[TableRow], columns: Sequence[str], *, caption: str = "", first: str = "Method"
) -> str:
    """Write a LaTeX table in the paper's layout, without packages beyond LaTeX itself.

    Args:
        rows: the rows, in order.
        columns: keys of the measures.
        caption: plain text.
        first: head of the first column.

    Returns:
        A ``table`` environment.

    Example:
        >>> print(latex_table([TableRow("flow", {"psnr": 28.33})], ["psnr"], caption="DAVIS").splitlines()[5])
        flow & 28.33 \\\\
    """
    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "none": ""}
    heads = [first]
    for measure in (MEASURES[key] for key in columns):
        scale = r" $\times 10^{3}$" if measure.factor == 1e3 else ""
        heads.append(_tex(measure.title) + scale + arrows[measure.better])
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\hline",
        " & ".join(heads) + r" \\ \hline",
    ]
    notes = _footnotes(rows)
    for number, row in enumerate(rows):
        name = _tex(row.name)
        cells = [name if row.measured else rf"\textit{{{name}}}{_TEX_MARKS[notes[row.note]]}"]
        for key in columns:
            best, second = marks(rows, key)
            figure = row.text(key).replace(DASH, "--")
            command = r"\textbf" if number in best else r"\underline" if number in second else ""
            cells.append(f"{command}{{{figure}}}" if command else figure)
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\hline", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_TEX_MARKS[mark]} {_tex(note)}" for note, mark in notes.items()]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def counted(number: int, thing: str) -> str:
    """A number and its thing, one or many.

    Example:
        >>> counted(1, "clip"), counted(12, "clip")
        ('1 clip', '12 clips')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def csv_table(rows: Sequence[TableRow], columns: Sequence[str], *, first: str = "clip") -> str:
    """Write rows as CSV with full precision, for other programs; a missing figure is an empty field.

    Args:
        rows: the rows, in order.
        columns: keys of the measures.
        first: head of the first column.

    Returns:
        The text, with a head line.

    Example:
        >>> csv_table([TableRow("dog", {"psnr": 36.97, "lpips": None})], ["psnr", "lpips"])
        'clip,psnr,lpips\\ndog,36.97,\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, *columns])
    for row in rows:
        figures = [row.values.get(key) for key in columns]
        writer.writerow([row.name, *("" if figure is None else repr(float(figure)) for figure in figures)])
    return text.getvalue()


def _head(measure: Measure) -> str:
    scale = " ×10³" if measure.factor == 1e3 else ""
    arrow = {"higher": " ↑", "lower": " ↓", "none": ""}[measure.better]
    return measure.title.replace("|", "\\|") + scale + arrow


def _footnotes(rows: Sequence[TableRow]) -> dict[str, str]:
    """A mark for each source of rows that were not measured."""
    sources = dict.fromkeys(row.note for row in rows if not row.measured)
    return dict(zip(sources, _TEX_MARKS, strict=False))


def _tex(text: str) -> str:
    replaced = text.replace("\\", r"\textbackslash ")
    for character in "&%$#_{}":
        replaced = replaced.replace(character, "\\" + character)
    return replaced.replace("Δ", r"$\Delta$").replace(DASH, "--")
