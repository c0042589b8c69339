"""Configurations, presets and files of weights."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from ca_model import (
    PRESETS,
    ColorAlignConfig,
    ColorAlignNet,
    CopyNet,
    ModelError,
    PaperNet,
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

    monkeypatch.setattr("ca_model.checkpoint.save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(create_model("tiny"), weights)
    assert weights_hash(weights) == before
    assert [path.name for path in weights.parent.iterdir()] == ["mine.safetensors"]


SMALL_PAPER = {"widths": (4, 4, 8, 16), "width": 16, "body_depth": 1, "body_heads": 2}


@pytest.mark.parametrize(
    ("network", "preset", "change"),
    [(CopyNet, "tiny", {"window": 8, "zooms": (1.5,)}), (PaperNet, "paper", SMALL_PAPER)],
)
def test_hub_folder_round_trip(tmp_path: Path, network: type, preset: str, change: dict) -> None:
    """The repository's configuration says which network it is, whichever class is asked."""
    model = create_model(preset, **change)
    model.save_pretrained(tmp_path / "hub")
    for asked in (ColorAlignNet, network):
        loaded = asked.from_pretrained(str(tmp_path / "hub"))
        assert type(loaded) is network
        assert loaded.config == model.config
        assert set(loaded.state_dict()) == set(model.state_dict())
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value)
    loaded.save_pretrained(tmp_path / "again")
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert ColorAlignConfig.from_dict(config) == model.config


def test_hub_folders_of_before_load_and_strange_ones_do_not(tmp_path: Path) -> None:
    create_model("tiny").save_pretrained(tmp_path / "hub")
    file = tmp_path / "hub" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "keyframe": True, "smooth": True, "modulated": False}))
    assert ColorAlignNet.from_pretrained(str(tmp_path / "hub")).config == preset("tiny")
    file.write_text(json.dumps({**config, "smooth": False}))
    with pytest.raises(ModelError, match="smooth: a copying network has True and no other, got False"):
        ColorAlignNet.from_pretrained(str(tmp_path / "hub"))
    file.unlink()
    with pytest.raises(ModelError, match=r"no config\.json beside them"):
        ColorAlignNet.from_pretrained(str(tmp_path / "hub"))


def test_shipped_weights_are_the_file_they_were() -> None:
    assert weights_hash("base") == "3d9c402a95aef91495b1ca2688a1ebca6f50cf25cbf792f5941973a457b0cd3c"
    model = load_model("base")
    assert type(model) is CopyNet
    assert model.config == preset("base")


@pytest.mark.parametrize(
    ("network", "preset", "change"), [(CopyNet, "tiny", {}), (PaperNet, "paper", SMALL_PAPER)]
)
def test_a_file_says_which_network_it_holds(tmp_path: Path, network: type, preset: str, change: dict) -> None:
    path = tmp_path / "some.safetensors"
    model = create_model(preset, **change)
    save_model(model, path)
    loaded = load_model(path)
    assert type(loaded) is network
    assert loaded.config == model.config


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
        ({"heads": 0}, "heads: expected a whole number from 1 to 8192, got 0"),
        ({"copying": "yes"}, "copying: expected true or false"),
        ({"copying": False}, "copying: a copying network has True and no other, got False; leave it out"),
        ({"body_heads": 3}, "body_heads: expected a divisor"),
        ({"alignment": "deform", "offset_groups": 7}, "offset_groups: expected a divisor of the 24 aligned"),
        ({"neighbors": 2}, "neighbors: a copying network has 0 and no other, got 2; leave it out"),
        ({"review": False}, "review: a copying network has True and no other"),
        ({"modulated": True}, "modulated: a copying network has False and no other"),
        ({"semantic": 1}, "semantic: expected true or false"),
        ({"memory": -1}, "memory: expected a whole number from 0 to 8192"),
        ({"body_width": 0}, "body_width: expected a whole number from 1 to 8192"),
        ({"zooms": (1.5, 0)}, r"zooms: expected numbers from 0.25 to 4 other than 1, got \(1.5, 0\)"),
        ({"zooms": ("2",)}, "zooms: expected numbers"),
        ({"feature_noise": -1.0}, "feature_noise: expected a number of 0 or more"),
    ],
)
def test_refusals_of_configurations(change: dict, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        preset("tiny", **change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"copying": True}, "copying: the paper's network has False and no other, got True; leave it out"),
        ({"memory": 8}, "memory: the paper's network has 0 and no other, got 8"),
        ({"zooms": [1.5]}, r"zooms: the paper's network has \(\) and no other"),
        ({"body_width": 32}, "body_width: the paper's network has 96 and no other"),
        ({"neighbors": -1}, "neighbors: expected a whole number from 0 to 1000, got -1"),
        ({"modulated": "v2"}, "modulated: expected true or false"),
        ({"width": 24, "offset_groups": 16}, "offset_groups: expected a divisor of the 24 aligned"),
    ],
)
def test_refusals_of_configurations_of_the_paper(change: dict, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        preset("paper", **change)


def test_configurations_of_before_load_where_they_say_what_is_now_fixed() -> None:
    """Everything a file of the one class for both networks held, as the shipped one still does."""
    old = json.loads(read_metadata("base")["coloralign.config"])
    assert {"keyframe", "matching", "review", "smooth", "modulated"} <= set(old)
    assert ColorAlignConfig.from_dict(old) == preset("base")
    for name in ("keyframe", "matching", "review", "smooth", "modulated"):
        with pytest.raises(ModelError, match=f"{name}: a copying network has"):
            ColorAlignConfig.from_dict({**old, name: not old[name]})
    none = {"keyframe": False, "matching": False, "semantic": False, "memory": 0, "recall": 0, "zooms": []}
    paper = {**asdict(preset("paper")), **none, "review": False, "smooth": False, "body_width": 96}
    assert ColorAlignConfig.from_dict(paper) == preset("paper")


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_being_written(name: str) -> None:
    again = ColorAlignConfig.from_dict(json.loads(json.dumps(asdict(preset(name)))))
    assert again == preset(name)
    assert type(again) is type(preset(name))


def test_refusals_of_names() -> None:
    with pytest.raises(ModelError, match="preset: expected one of tiny, paper, base, got 'huge'"):
        create_model("huge")
    with pytest.raises(ModelError, match="unknown depht"):
        preset("tiny", depht=3)
    with pytest.raises(ModelError, match="unknown colour"):
        ColorAlignConfig.from_dict({"widths": (2, 2, 2, 2), "colour": 1})
    with pytest.raises(ModelError, match="expected widths, got none"):
        ColorAlignConfig.from_dict({"copying": True})


def test_presets_differ_from_the_ablations_by_one_field() -> None:
    for name in PRESETS:
        assert preset(name, reconstruction="unet") == ColorAlignConfig.from_dict(
            {**asdict(preset(name)), "reconstruction": "unet"}
        )
