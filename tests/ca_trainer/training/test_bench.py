"""`bench`: what it measures, and what it counts."""

import json

import pytest
import torch
from ca_trainer.cli import main
from ca_trainer.training.bench import count_flop
from torch.nn import functional as F


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    told = capsys.readouterr()
    return int(ending.value.code or 0), told.out, told.err


def test_bench_measures_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ca_trainer.training.bench.MATRIX_SIDE", {"cpu": 256})
    monkeypatch.setattr("ca_trainer.training.bench.PASSES", 1)
    small = ["bench", "--device", "cpu", "--preset", "tiny", "--size", "48x32", "--frames", "2"]
    code, told, _ = run([*small, "--json"], capsys)
    assert code == 0
    (result,) = json.loads(told)
    assert (result["preset"], result["size"], result["device"]) == ("tiny", [32, 48], "cpu")
    for name in ("forward_fps", "training_fps", "forward_share", "training_share", "ceiling_gflops"):
        assert result[name] > 0
    assert result["training_fps"] < result["forward_fps"]
    assert result["peak_mib"] > 10
    for options, expected in (
        (["--preset", "huge"], "--preset: expected some of"),
        (["--size", "big"], "size: expected WIDTHxHEIGHT"),
    ):
        code, _, error = run(["bench", *options], capsys)
        assert code == 2
        assert expected in error


def test_operations_of_attention_on_a_cpu_are_counted() -> None:
    q, k = torch.zeros(1, 2, 5, 8, requires_grad=True), torch.zeros(1, 2, 7, 8)
    forward = 2 * (2 * 5 * 7 * 8) * 2  # both products, two heads
    assert count_flop(lambda: F.scaled_dot_product_attention(q, k, k)) == forward
    assert count_flop(lambda: F.scaled_dot_product_attention(q, k, k).sum().backward()) > 2 * forward
