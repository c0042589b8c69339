"""The command `evaluate`, end to end on two small clips."""

import csv
import json
from pathlib import Path

import ca_metrics
import pytest
from ca_data import FrameFolder, write_frames
from ca_trainer.cli import main


def evaluate(*arguments: object) -> None:
    """Run the command as a shell would; any exit but success is raised."""
    try:
        main(["evaluate", *map(str, arguments)])
    except SystemExit as left:
        if left.code:
            raise


@pytest.fixture(scope="module")
def static(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "static"
    evaluate("--data", data, "--method", "static", "--save-frames", "--out", out)
    return out


def read(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


def test_results_say_what_was_measured_and_how(static: Path):
    results = read(static)
    assert results["mean"].keys() == results["clips"]["kite"].keys() == set(ca_metrics.METRICS)
    assert results["frames"]["kite"]["frame"] == [1, 2, 3, 4, 5, 6, 7]
    psnr = results["frames"]["boat"]["psnr"]
    assert results["clips"]["boat"]["psnr"] == pytest.approx(sum(psnr) / 6)
    clips = [clip["psnr"] for clip in results["clips"].values()]
    assert results["mean"]["psnr"] == pytest.approx(sum(clips) / 2)
    assert (results["protocol"], results["size"], results["method"]) == ("first-frame", "53x37", "static")
    assert "torch" in results["versions"]
    assert results["weights_hash"] is None
    assert results["command"]
    assert set(results["missing"]) == {key for key, value in results["mean"].items() if value is None}


def test_a_stranger_gets_the_same_figures_from_the_frames(static: Path, data: Path):
    saved = FrameFolder(static / "frames" / "kite").read()
    again = ca_metrics.score_clip(saved, FrameFolder(data / "kite").read(), skip_first=True)
    for name in ("psnr", "ssim", "cdc", "cdc_truth", "cdc_distance", "colorfulness"):
        assert read(static)["clips"]["kite"][name] == pytest.approx(getattr(again, name)), name


def test_predictions_are_scored_the_same_way(static: Path, data: Path, tmp_path: Path):
    evaluate("--data", data, "--predictions", static / "frames", "--name", "theirs", "--out", tmp_path)
    ours, theirs = read(static), read(tmp_path)
    assert theirs["name"] == "theirs"
    assert theirs["mean"] == ours["mean"]


def test_tables_and_csv_agree_with_the_results(static: Path):
    results = read(static)
    rows = {row["clip"]: row for row in csv.DictReader((static / "results.csv").open())}
    assert list(rows) == ["boat", "kite", "mean"]
    assert float(rows["mean"]["psnr"]) == results["mean"]["psnr"]
    assert f"| static | {results['mean']['psnr']:.2f} |" in (static / "table.md").read_text()
    assert r"\begin{tabular}" in (static / "table.tex").read_text()


def test_a_second_run_repeats_nothing_and_a_changed_one_everything(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, marker = tmp_path / "run", "from the first run"
    evaluate("--data", data, "--method", "grey", "--out", out)
    for clip in ("boat", "kite"):  # what a finished clip's file says is taken as it stands
        record = json.loads((out / "clips" / f"{clip}.json").read_text())
        record["scores"]["notes"]["lpips"] = marker
        (out / "clips" / f"{clip}.json").write_text(json.dumps(record))
    (out / "clips" / "kite.json").unlink()
    evaluate("--data", data, "--method", "grey", "--out", out)
    assert json.loads((out / "clips" / "boat.json").read_text())["scores"]["notes"]["lpips"] == marker
    assert json.loads((out / "clips" / "kite.json").read_text())["scores"]["notes"]["lpips"] != marker
    assert "afresh" not in capsys.readouterr().out
    evaluate("--data", data, "--method", "mean", "--out", out)
    assert "2 clips" in capsys.readouterr().out
    assert json.loads((out / "clips" / "boat.json").read_text())["scores"]["notes"]["lpips"] != marker
    assert read(out)["method"] == "mean"


def test_every_k_size_and_chosen_clips(data: Path, tmp_path: Path):
    every = ("--protocol", "every-K", "--reference-every", 3)
    evaluate(
        "--data", data, "--method", "static", *every, "--size", "48x32", "--clips", "kite", "--out", tmp_path
    )
    results = read(tmp_path)
    assert (results["protocol"], results["reference_every"]) == ("every-3", 3)
    assert (results["size"], results["resized"]) == ("48x32", True)
    assert results["frames"]["kite"]["frame"] == [1, 2, 4, 5, 7]
    assert list(results["clips"]) == ["kite"]


def test_a_report_is_one_file_with_every_picture(static: Path):
    page = (static / "report.html").read_text()
    shown = [{moment["frame"] for moment in clip} for clip in read(static)["moments"].values()]
    assert all({4, 6} <= frames or {4, 7} <= frames for frames in shown)  # the middle and the last, at least
    assert page.count("data:image/jpeg;base64,") == 5 * sum(map(len, shown))
    assert page.count("<svg") == 3
    for outside in ('src="http', 'href="http', "url(http", "<script", "<link"):
        assert outside not in page
    assert "LPIPS is missing" in page or read(static)["mean"]["lpips"] is not None


def test_runs_are_compared_in_one_report(data: Path, tmp_path: Path):
    evaluate("--data", data, "--method", "grey", "--dataset", "DAVIS", "--out", tmp_path / "grey")
    evaluate("--data", data, "--method", "flow", "--dataset", "DAVIS", "--out", tmp_path / "flow")
    evaluate("--compare", tmp_path / "flow", tmp_path / "grey", "--out", tmp_path / "both")
    table = (tmp_path / "both" / "table.md").read_text()
    order = [table.index(name) for name in ("| grey |", "| flow |", "| *DeepExemplar* †", "| *ColorMNet* ")]
    assert order == sorted(order)
    page = (tmp_path / "both" / "report.html").read_text()
    assert page.count("published, not measured</span>") == 9
    assert page.count("data:image/jpeg;base64,") == 2 * 2 * (3 + 2 + 2)
    evaluate("--compare", "--no-published", tmp_path / "flow", tmp_path / "grey", "--out", tmp_path / "both")
    assert "DeepExemplar" not in (tmp_path / "both" / "table.md").read_text()


def test_runs_under_different_protocols_never_share_a_table(static: Path, data: Path, tmp_path: Path):
    evaluate("--data", data, "--method", "static", "--protocol", "every-4", "--out", tmp_path / "four")
    evaluate("--compare", static, tmp_path / "four", "--no-published", "--out", tmp_path / "both")
    table = (tmp_path / "both" / "table.md").read_text()
    assert table.count("| Method |") == 2
    assert "protocol first-frame" in table
    assert "protocol every-4" in table


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "gray"], "method: expected model, grey, mean, static, flow, got 'gray'"),
        (["--method", "grey", "--clips", "boat,yacht"], "clips: expected some of boat, kite, got yacht"),
        (["--method", "grey", "--size", "12"], "size: expected WIDTHxHEIGHT"),
        (["--method", "grey", "--protocol", "every-K"], "protocol: every-K needs its K"),
        (["--weights", "nowhere.safetensors"], "weights 'nowhere.safetensors': no such file"),
        (["--method", "grey", "--lpips-weights", "nowhere.pth"], "no file nowhere.pth"),
        (["--predictions", "nowhere"], "folder nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], told: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as left:
        evaluate("--data", data, *arguments, "--out", tmp_path / "out")
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unprepared_davis_root_is_explained(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
):
    write_frames(FrameFolder(data / "boat").read(), tmp_path / "JPEGImages" / "480p" / "boat")
    with pytest.raises(SystemExit):
        evaluate("--data", tmp_path, "--method", "grey", "--out", tmp_path / "out")
    assert "prepare --davis ROOT" in capsys.readouterr().err


def test_comparing_what_was_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        evaluate("--compare", tmp_path, "--out", tmp_path / "out")
    assert "finish that evaluation first" in capsys.readouterr().err
