"""Configurations, presets and files of weights."""

import json
from pathlib import Path

import pytest
import torch
from ca_model import (
    PRESETS,
    ColorAlignConfig,
    ColorAlignNet,
    ModelError,
    create_model,
    load_model,
    preset,
    read_metadata,
    save_model,
    tensors_hash,
    weights_hash,
)
from safetensors.torch import load_file, save_file


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    save_model(create_model("tiny", reconstruction="unet"), path, {"recipe": "none"})
    return path


def test_a_file_brings_weights_and_configuration(weights: Path) -> None:
    model = load_model(weights)
    assert model.config == preset("tiny", reconstruction="unet")
    assert not model.training
    for name, value in load_file(weights).items():
        assert torch.equal(model.state_dict()[name], value)
    assert read_metadata(weights)["recipe"] == "none"


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    model = create_model("tiny")
    save_model(model, tmp_path / "half.safetensors", dtype=torch.float16)
    loaded = load_model(tmp_path / "half.safetensors")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-3, rtol=1e-3)
        assert loaded.state_dict()[name].dtype == value.dtype


def test_saving_replaces_and_leaves_nothing_beside(weights: Path) -> None:
    before = weights_hash(weights)
    save_model(create_model("tiny"), weights)
    assert weights_hash(weights) != before
    assert [path.name for path in weights.parent.iterdir()] == ["mine.safetensors"]


def test_the_hash_of_tensors_is_that_of_names_and_values(weights: Path) -> None:
    model = load_model(weights)
    before = tensors_hash(model)
    assert tensors_hash(load_model(weights)) == before
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    assert tensors_hash(model) != before


def test_a_failed_save_keeps_the_old_file(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_hash(weights)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("ca_model.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(create_model("tiny"), weights)
    assert weights_hash(weights) == before
    assert [path.name for path in weights.parent.iterdir()] == ["mine.safetensors"]


def test_hub_folder_round_trip(tmp_path: Path) -> None:
    model = create_model("tiny", window=8)
    model.save_pretrained(tmp_path / "hub")
    loaded = ColorAlignNet.from_pretrained(str(tmp_path / "hub"))
    assert loaded.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_refusals_of_files(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ModelError, match=r"weights 'nowhere.safetensors': no such file; shipped weights:"):
        load_model("nowhere.safetensors")
    with pytest.raises(ModelError, match="that is a preset, which has no weights of its own"):
        load_model("paper")
    text = tmp_path / "text.safetensors"
    text.write_text("not weights")
    with pytest.raises(ModelError, match=r"text.safetensors: not a readable safetensors file"):
        load_model(text)
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(2)}, bare)
    with pytest.raises(ModelError, match="no ColorAlignNet configuration"):
        load_model(bare)
    tensors = load_file(weights)
    config = json.dumps({**json.loads(read_metadata(weights)["coloralign.config"]), "width": 32})
    wrong = tmp_path / "wrong.safetensors"
    save_file(tensors, wrong, metadata={"coloralign.config": config})
    with pytest.raises(ModelError, match="tensors do not fit its configuration"):
        load_model(wrong)
    for error in ("nowhere", text, bare, wrong):
        with pytest.raises(ModelError) as caught:
            load_model(error)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"widths": (8, 8, 8)}, "widths: expected 4 whole numbers"),
        ({"color_transfer": "magic"}, "color_transfer: expected one of attention, adain, got 'magic'"),
        ({"heads": 0}, "heads: expected a whole number of 1 or more, got 0"),
        ({"copying": "yes"}, "copying: expected true or false"),
        ({"body_heads": 3}, "body_heads: expected a divisor"),
        ({"neighbors": 2}, "a copying network looks at no later frame"),
        ({"zooms": (1.5, 0)}, r"zooms: expected numbers from 0.25 to 4 other than 1, got \(1.5, 0\)"),
        ({"zooms": ("2",)}, "zooms: expected numbers"),
        ({"feature_noise": -1.0}, "feature_noise: expected 0 or more"),
    ],
)
def test_refusals_of_configurations(change: dict, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        preset("tiny", **change)


def test_refusals_of_names() -> None:
    with pytest.raises(ModelError, match="preset: expected one of tiny, paper, base, got 'huge'"):
        create_model("huge")
    with pytest.raises(ModelError, match="unknown depht"):
        preset("tiny", depht=3)
    with pytest.raises(ModelError, match="unknown colour"):
        ColorAlignConfig.from_dict({"widths": (2, 2, 2, 2), "colour": 1})


def test_presets_differ_from_the_ablations_by_one_field() -> None:
    for name in PRESETS:
        assert preset(name, reconstruction="unet") == ColorAlignConfig.from_dict(
            {**vars(preset(name)), "reconstruction": "unet"}
        )
