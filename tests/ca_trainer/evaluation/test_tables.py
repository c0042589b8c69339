"""Tables: layout, order, marks, and what was not measured."""

import csv
import io

import pytest
from ca_trainer.evaluation.measures import MEASURES, PAPER_MEASURES, SUMMARY_MEASURES
from ca_trainer.evaluation.published import ABLATIONS, PUBLISHED, published_rows
from ca_trainer.evaluation.tables import (
    TableRow,
    csv_table,
    in_paper_order,
    latex_table,
    markdown_table,
    marks,
)

FLOW = TableRow("flow", {"psnr": 28.33, "ssim": 0.9592, "cdc": 0.002032})
GREY = TableRow("grey", {"psnr": 23.24, "ssim": 0.9509, "cdc": 0.002515})
OURS = TableRow("base_2", {"psnr": 31.5, "ssim": 0.9592, "cdc": 0.0021, "lpips": 0.04})


def test_markdown_by_hand():
    printed = TableRow.of(published_rows("DAVIS 2017 val")[5])
    assert markdown_table([GREY, FLOW, printed], ("psnr", "ssim", "cdc")).splitlines() == [
        "| Method | PSNR ↑ | SSIM ↑ | CDC ×10³ ↓ |",
        "|---|---:|---:|---:|",
        "| grey | <u>23.24</u> | <u>0.9509</u> | <u>2.515</u> |",
        "| flow | **28.33** | **0.9592** | **2.032** |",
        "| *SVCNet* † | 25.71 | 0.956 | 4.086 |",
        "",
        "† published, not measured here: ColorAlignNet paper, references not stated",
    ]


def test_latex_by_hand():
    printed = TableRow.of(published_rows("davis")[7])
    lines = latex_table([OURS, FLOW, printed], PAPER_MEASURES, caption="DAVIS & 12 clips").splitlines()
    assert lines[1] == r"\caption{DAVIS \& 12 clips}"
    assert lines[2] == r"\begin{tabular}{lrrrr}"
    head = (
        r"Method & PSNR $\uparrow$ & SSIM $\uparrow$ & LPIPS $\downarrow$ & CDC $\times 10^{3}$ $\downarrow$"
    )
    assert lines[4] == head + r" \\ \hline"
    assert lines[5] == r"base\_2 & \textbf{31.50} & \textbf{0.9592} & 0.040 & \underline{2.100} \\"
    assert lines[6] == r"flow & \underline{28.33} & \textbf{0.9592} & -- & \textbf{2.032} \\"
    assert lines[7] == r"\textit{BiSTNet}$^\dagger$ & 34.02 & 0.964 & 0.043 & 3.870 \\"
    assert lines[10].startswith(r"\par\footnotesize $^\dagger$ published, not measured here: BiSTNet")


def test_csv_reads_back_exactly():
    rows = list(csv.DictReader(io.StringIO(csv_table([FLOW, OURS], ("psnr", "lpips")))))
    assert float(rows[0]["psnr"]) == 28.33
    assert rows[0]["lpips"] == ""
    assert rows[1] == {"clip": "base_2", "psnr": "31.5", "lpips": "0.04"}


def test_published_figures_never_win():
    printed = [TableRow.of(row) for row in published_rows("davis")]
    best, second = marks([*printed, GREY, FLOW], "psnr")
    assert best == {len(printed) + 1}
    assert second == {len(printed)}
    assert marks([*printed, FLOW], "psnr") == (set(), set())


@pytest.mark.parametrize("key", ["cdc_truth", "colorfulness"])
def test_what_has_no_better_has_no_best(key: str):
    assert marks([TableRow("a", {key: 1.0}), TableRow("b", {key: 2.0})], key) == (set(), set())


def test_truth_stands_on_top_and_never_wins():
    truth = TableRow.truth({"psnr": 20.0, "cdc": 0.003, "cdc_truth": 0.002, "colorfulness_truth": 34.6})
    assert truth.values == {"cdc": 0.002, "colorfulness": 34.6}
    rows = in_paper_order([FLOW, GREY, truth])
    assert [row.name for row in rows] == ["truth", "grey", "flow"]
    assert marks(rows, "cdc") == ({2}, {1})


def test_figures_that_print_alike_share_the_mark():
    rows = [TableRow("a", {"psnr": 20.001}), TableRow("b", {"psnr": 20.004}), TableRow("c", {"psnr": 19.0})]
    assert marks(rows, "psnr") == ({0, 1}, {2})


def test_order_of_tables_1_and_2():
    names = ["ours", "ColorMNet", "TCVC", "flow", "DeepExemplar", "grey", "theirs"]
    ordered = [row.name for row in in_paper_order([TableRow(name, {}) for name in names])]
    assert ordered == ["grey", "flow", "DeepExemplar", "TCVC", "ColorMNet", "ours", "theirs"]


def test_published_rows_hold_every_figure_of_the_paper():
    assert [row.method for row in published_rows("videvo")][-1] == "ColorAlignNet (paper)"
    assert (len(PUBLISHED), len(ABLATIONS), published_rows("train")) == (16, 10, [])
    assert sum(row.psnr for row in PUBLISHED if row.source == "ColorAlignNet paper") == pytest.approx(
        166.82 + 169.66
    )
    assert sum(row.cdc for row in ABLATIONS) == pytest.approx(20.662e-3 + 8.489e-3)
    assert all(0.8 < row.ssim < 1 and 0 < row.lpips < 0.5 for row in PUBLISHED + ABLATIONS)


def test_a_missing_figure_is_a_dash():
    assert MEASURES["lpips"].format(None) == MEASURES["lpips"].format(float("nan")) == "–"
    assert "–" in markdown_table([FLOW], ("lpips",))
    assert set(PAPER_MEASURES) < set(SUMMARY_MEASURES)
