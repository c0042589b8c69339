"""Files of weights that are damaged, made by someone else, or made to hurt: one line, and nothing is built."""

import contextlib
import json
import random
import resource
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from ca_model import ModelError, create_model, load_model, preset, save_model
from safetensors.torch import load_file, save_file

CONFIG = "coloralign.config"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    torch.manual_seed(0)
    save_model(create_model("tiny"), path)
    return path


def refused(path: Path) -> str:
    """The one line of the refusal, which allocates next to nothing."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


HUGE = 10**9
ODD: list[Any] = [
    [],
    "x",
    None,
    {"widths": 5},
    {"widths": [[[8]], 8, 8, 8]},
    {"widths": [HUGE] * 4},
    {"window": HUGE},
    {"body_depth": HUGE},
    {"body_depth": 256},
    {"heads": 10**30},
    {"head_channels": 8192},
    {"width": 8192},
    {"zooms": 3},
    {"zooms": [1e308 * 10]},
    {"feature_noise": []},
    {"feature_noise": float("nan")},
    {"color_transfer": ["attention"]},
    {"x" * 5000: 1},
    {"copying": "yes"},
]


@pytest.mark.parametrize("change", ODD, ids=lambda change: repr(change)[:40])
def test_odd_configurations_are_refused_before_anything_is_built(
    change: Any, weights: Path, tmp_path: Path
) -> None:
    config = {**asdict(preset("tiny")), **change} if isinstance(change, dict) else change
    path = tmp_path / "odd.safetensors"
    save_file(load_file(weights), path, metadata={CONFIG: json.dumps(config)})
    assert refused(path).startswith("weights odd.safetensors: ")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"widths": 1' + "0" * 10_000 + "}"])
def test_configurations_that_are_no_json_are_refused(text: str, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file(load_file(weights), path, metadata={CONFIG: text})
    refused(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    name = sorted(state)[3]
    state[name].view(-1)[-1] = value
    path = tmp_path / "nan.safetensors"
    save_file(state, path, metadata={CONFIG: json.dumps(asdict(preset("tiny")))})
    assert refused(path) == (
        f"weights nan.safetensors: {name} holds values that are no numbers; the file is damaged"
    )


@pytest.mark.parametrize("name", ["../../etc", "/etc", "one", "a/b/c", "", "a/..", "\n/x"])
def test_hub_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="expected hub:OWNER/NAME"):
        load_model(f"hub:{name}")


def test_a_name_that_is_too_long_for_a_file_is_no_file() -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_model("x" * 5000)


@pytest.mark.slow
def test_a_hundred_mutated_files_load_or_are_refused(weights: Path, tmp_path: Path) -> None:
    whole, path = weights.read_bytes(), tmp_path / "mutated.safetensors"
    head = 8 + int.from_bytes(whole[:8], "little")
    for seed in range(100):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice((1, 4, 40))):
            data[chance.randrange(head if seed % 2 else len(data))] = chance.randrange(256)
        if seed % 5 == 0:
            data = data[: chance.randrange(len(data))]
        path.write_bytes(data)
        with contextlib.suppress(ModelError):  # anything else, or a hang, is wrong
            load_model(path)
