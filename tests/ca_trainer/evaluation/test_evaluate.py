"""The command `evaluate`, end to end on two small clips."""

import csv
import json
from pathlib import Path

import ca_metrics
import ca_model
import pytest
from ca_data import FrameFolder, synthetic_clip, write_frames
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
    spans = {"psnr_1_8", "psnr_9_32", "psnr_33"}
    assert results["mean"].keys() == results["clips"]["kite"].keys() == {*ca_metrics.METRICS, *spans}
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


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 35 frames and one of 12."""
    root = tmp_path_factory.mktemp("long")
    for seed, (name, frames) in enumerate({"film": 35, "short": 12}.items()):
        write_frames(synthetic_clip(seed, frames=frames, size=(32, 48)), root / name)
    return root


def test_how_long_color_lasts_is_told_by_span(long: Path, tmp_path: Path):
    evaluate("--data", long, "--method", "static", "--out", tmp_path)
    results = read(tmp_path)
    film, short = results["frames"]["film"], results["frames"]["short"]
    assert film["frame"] == list(range(1, 35))
    means = {"psnr_1_8": film["psnr"][:8], "psnr_9_32": film["psnr"][8:32], "psnr_33": film["psnr"][32:]}
    for span, values in means.items():
        assert results["clips"]["film"][span] == pytest.approx(sum(values) / len(values)), span
    assert results["clips"]["short"]["psnr_9_32"] == pytest.approx(sum(short["psnr"][8:]) / 3)
    assert results["clips"]["short"]["psnr_33"] is None
    both = [results["clips"][clip]["psnr_9_32"] for clip in ("film", "short")]
    assert results["mean"]["psnr_9_32"] == pytest.approx(sum(both) / 2)
    assert results["mean"]["psnr_33"] == results["clips"]["film"]["psnr_33"]
    assert f"| {results['mean']['psnr_33']:.2f} |" in (tmp_path / "table.md").read_text()
    assert "Colour mixed from" not in (tmp_path / "table.md").read_text()
    evaluate("--data", long, "--method", "static", "--protocol", "every-10", "--out", tmp_path / "ten")
    every = read(tmp_path / "ten")
    assert every["mean"]["psnr_33"] is None
    assert every["missing"]["psnr_33"] == "no clip has a frame so long after its reference"
    fresh = [
        p
        for n, p in zip(every["frames"]["film"]["frame"], every["frames"]["film"]["psnr"], strict=True)
        if n % 10 < 9
    ]
    assert every["clips"]["film"]["psnr_1_8"] == pytest.approx(sum(fresh) / len(fresh))


def test_a_network_tells_what_it_mixes_and_what_it_makes_of_the_truth(data: Path, tmp_path: Path):
    weights = tmp_path / "some.safetensors"
    ca_model.save_model(ca_model.create_model("tiny"), weights)
    evaluate("--data", data, "--weights", weights, "--diagnose", "--out", tmp_path / "run")
    results = read(tmp_path / "run")
    shares = {f"share_{copy}" for copy in ("attended", "previous", "keyframe", "matched")}
    assert sum(results["mean"][share] for share in shares) == pytest.approx(1)
    assert sum(results["mean"][f"true_previous_{share}"] for share in shares) == pytest.approx(1)
    kite = results["frames"]["kite"]
    for name in ("true_previous_psnr", "warped_truth_psnr", "share_previous"):
        assert results["clips"]["kite"][name] == pytest.approx(sum(kite[name]) / 7), name
    # Untrained, a network mixes what is carried with much else: the truth, only carried, is nearer.
    assert (
        results["mean"]["psnr"] < results["mean"]["true_previous_psnr"] < results["mean"]["warped_truth_psnr"]
    )
    assert kite["true_previous_psnr"][0] == pytest.approx(kite["psnr"][0])
    assert results["mean"]["true_previous_psnr_1_8"] == results["mean"]["true_previous_psnr"]
    table, page = ((tmp_path / "run" / name).read_text() for name in ("table.md", "report.html"))
    for told in (
        "some, each frame from the true one before",
        "the true frame before, warped by some&#39;s flow",
    ):
        assert told.replace("&#39;", "'") in table
        assert told in page
    rows = {row["clip"]: row for row in csv.DictReader((tmp_path / "run" / "results.csv").open())}
    assert float(rows["mean"]["warped_truth_psnr"]) == results["mean"]["warped_truth_psnr"]
    evaluate("--data", data, "--weights", weights, "--out", tmp_path / "run")
    plain = read(tmp_path / "run")
    assert {key: results["mean"][key] for key in plain["mean"]} == plain["mean"]
    assert not [key for key in plain["mean"] if key.startswith(("true_previous", "warped_truth"))]


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
        (["--method", "flow", "--diagnose"], "diagnose: expected a network (--weights), got flow"),
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
