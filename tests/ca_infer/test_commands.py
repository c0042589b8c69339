"""The other commands, and the command line as a whole."""

import json
import subprocess
import sys
from pathlib import Path

import ca_model
import pytest
import torch
from ca_infer.cli import main
from ca_infer.demo import fresh_folder, run_demo

APP = Path(__file__).parents[2] / "apps" / "infer"


def test_bench_prints_exactly_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["bench", "--weights", "tiny", "--size", "48x32", "--frames", "3", "--refs", "2", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {
        *(
            "seconds_per_frame",
            "frames_per_second",
            "gflop_per_frame",
            "parameters",
            "peak_rss_mib",
            "stages",
        ),
        *("product_gflops", "product_gflop_per_frame", "stepper_seconds_per_frame"),
    }
    assert report["product_gflop_per_frame"] == pytest.approx(
        report["product_gflops"] * report["seconds_per_frame"]
    )
    assert report["stepper_seconds_per_frame"] > 0
    assert report["frames_per_second"] == pytest.approx(1 / report["seconds_per_frame"])
    assert report["parameters"] == ca_model.count_parameters(ca_model.create_model("tiny"))
    assert 0 < report["gflop_per_frame"] < 25
    assert report["peak_rss_mib"] > 50
    assert {"encoder", "attention", "reconstruction", "other"} <= set(report["stages"])
    assert all(seconds >= 0 for seconds in report["stages"].values())


def test_bench_leaves_the_model_as_it_was() -> None:
    from ca_infer.bench import bench

    model = ca_model.create_model("tiny")
    bench(model, (32, 48), 1, 1, torch.device("cpu"))
    assert "forward" not in vars(model.encoder)
    assert "step" not in vars(model.reconstruction)


def test_export_round_trip(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "half.safetensors"
    assert main(["export", "--weights", str(weights), "-o", str(out), "--half"]) == 0
    assert out.stat().st_size < 0.6 * weights.stat().st_size
    assert ca_model.read_metadata(out)["note"] == "random"
    old, new = ca_model.load_model(weights).state_dict(), ca_model.load_model(out).state_dict()
    assert all(torch.allclose(old[name], new[name], atol=1e-3, rtol=1e-3) for name in old)
    capsys.readouterr()
    assert main(["export", "--weights", str(weights), "-o", str(out)]) == 2
    assert "add --overwrite" in capsys.readouterr().err


def test_weights_lists_what_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ca_model.shipped_weights())


def test_demo_never_overwrites(weights: Path, tmp_path: Path) -> None:
    result, sheet, gain = run_demo(tmp_path / "runs" / "demo", str(weights), frames=4, size=(48, 80))
    again, _, _ = run_demo(tmp_path / "runs" / "demo", str(weights), frames=4, size=(48, 80))
    assert result.out.is_file()
    assert sheet.is_file()
    assert -60 < gain < 60
    assert again.out.parent.name == "demo-2"
    assert fresh_folder(tmp_path / "runs" / "demo").name == "demo-3"


def test_demo_without_shipped_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ca_model, "shipped_weights", list)
    assert main([]) == 2
    assert "no weights are shipped" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_runs_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(APP),
            "colorize",
            "nothing.mp4",
            "--refs",
            "a",
            "b",
            "-o",
            str(tmp_path / "x.mp4"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: film nothing.mp4 does not exist; check the path\n"
