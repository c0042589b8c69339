"""The nodes, called as ComfyUI calls them; colours are those of the command line."""

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import ca_infer.cli
import numpy as np
import pytest
import torch
from ca_comfy import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from PIL import Image

TYPES = {"IMAGE", "MASK", "STRING", "FLOAT", "INT", "BOOLEAN"}


def execute(name: str, **given: Any) -> tuple:
    """What ComfyUI's executor does: defaults of what is not given, checks of ranges, the method that FUNCTION names."""
    node = NODE_CLASS_MAPPINGS[name]
    inputs: dict[str, Any] = {}
    for part in node.INPUT_TYPES().values():
        for key, (kind, *more) in part.items():
            value = given.pop(key, more[0].get("default") if more else None)
            assert value is not None, f"{key} is required"
            if isinstance(kind, list):
                assert value in kind
            elif kind in ("INT", "FLOAT"):
                assert more[0]["min"] <= value <= more[0]["max"]
            inputs[key] = value
    assert not given, "the node has no such input"
    result = getattr(node(), node.FUNCTION)(**inputs)
    assert isinstance(result, tuple)
    assert len(result) == len(node.RETURN_TYPES)
    for kind, value in zip(node.RETURN_TYPES, result, strict=True):
        if kind == "IMAGE":
            assert value.dtype == torch.float32
            assert value.ndim == 4
            assert value.shape[-1] == 3
            assert 0 <= value.min() <= value.max() <= 1
        elif kind == "MASK":
            assert value.ndim == 3
        else:
            assert isinstance(value, {"STRING": str, "FLOAT": float}[kind])
    return result


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_is_what_comfyui_expects(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    assert NODE_DISPLAY_NAME_MAPPINGS[name]
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    assert set(node.RETURN_TYPES) <= TYPES
    parts = node.INPUT_TYPES()
    assert set(parts) <= {"required", "optional", "hidden"}
    named = [key for part in parts.values() for key in part]
    asked = [key for key in inspect.signature(getattr(node, node.FUNCTION)).parameters if key != "self"]
    assert sorted(named) == sorted(asked)
    for part in parts.values():
        for kind, *_ in part.values():
            assert isinstance(kind, list) or kind in TYPES


def test_the_folder_loads_as_a_custom_node(repository: Path) -> None:
    path = repository / "adapters" / "comfy" / "__init__.py"
    described = importlib.util.spec_from_file_location("custom_nodes.comfy", path)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    assert set(module.NODE_CLASS_MAPPINGS) == set(NODE_CLASS_MAPPINGS)


def read(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))])


def unit(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames.astype(np.float32) / 255.0)


def test_images_get_the_colours_of_the_command_line(
    frames_folder: Path, still: Path, weights: Path, tmp_path: Path
) -> None:
    words = [str(frames_folder), "--refs", str(still), "-o", str(tmp_path / "out")]
    assert ca_infer.cli.main(["colorize", *words, "--weights", str(weights), "--device", "cpu"]) == 0
    images, coverage, notes = execute(
        "ColorAlignColorImages",
        images=unit(read(frames_folder)),
        stills=unit(np.asarray(Image.open(still))[None]),
        weights=str(weights),
        device="cpu",
    )
    expected = read(tmp_path / "out")
    assert np.array_equal(np.rint(images.numpy() * 255).astype(np.uint8), expected)
    assert coverage.shape == images.shape[:3]
    assert isinstance(notes, str)


def test_a_still_that_is_a_frame_comes_out_as_it_is(clip: np.ndarray, weights: Path) -> None:
    images, *_ = execute(
        "ColorAlignColorImages",
        images=unit(clip[:3]),
        stills=unit(clip[1:2]),
        weights=str(weights),
        still_frames="1",
        cuts="none",
        device="cpu",
    )
    assert torch.equal((images[1] * 255).round(), unit(clip[1]) * 255)


def test_deep_images_stay_deep(clip: np.ndarray, weights: Path) -> None:
    deep = unit(clip[:2]) * 0.9 + 0.0123
    images, *_ = execute(
        "ColorAlignColorImages",
        images=deep,
        stills=unit(clip[:1]),
        weights=str(weights),
        cuts="none",
        device="cpu",
    )
    assert not torch.equal((images * 255).round() / 255, images)


def test_a_film_is_loaded_and_coloured(make_film: Any, still: Path, weights: Path, tmp_path: Path) -> None:
    film = make_film(sound="pcm_s16le")
    images, rate, _ = execute("ColorAlignLoadFilm", path=str(film), first=2, count=3)
    assert images.shape == (3, 46, 74, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    assert rate == pytest.approx(24.0)
    out = tmp_path / "out.mkv"
    path, _ = execute(
        "ColorAlignColorFilm",
        path=str(film),
        stills=str(still),
        out=str(out),
        weights=str(weights),
        device="cpu",
    )
    assert Path(path) == out
    assert out.stat().st_size > 0


def test_a_film_read_and_coloured_equals_the_folder(frames_folder: Path, clip: np.ndarray) -> None:
    images, *_ = execute("ColorAlignLoadFilm", path=str(frames_folder))
    codes = images * 255
    assert torch.equal(codes.round() / 255, images)
    assert images.shape == clip.shape


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"still_frames": "0,1"}, "still_frames: expected 1 numbers, one a still, got 2"),
        ({"still_frames": "a"}, "still_frames: expected numbers with commas"),
        ({"cuts": "x"}, "cuts: expected numbers with commas"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_bad_input_is_one_line(changed: dict[str, str], text: str, clip: np.ndarray, weights: Path) -> None:
    given = {
        "images": unit(clip[:2]),
        "stills": unit(clip[:1]),
        "weights": str(weights),
        "device": "cpu",
        **changed,
    }
    with pytest.raises(ValueError, match=text):
        execute("ColorAlignColorImages", **given)


def test_a_frame_behind_the_end(frames_folder: Path) -> None:
    with pytest.raises(ValueError, match="first: expected a frame of"):
        execute("ColorAlignLoadFilm", path=str(frames_folder), first=99)


def test_a_changed_file_is_read_again(frames_folder: Path, tmp_path: Path) -> None:
    node = NODE_CLASS_MAPPINGS["ColorAlignLoadFilm"]
    stamp = node.IS_CHANGED(path=str(tmp_path))
    (tmp_path / "00000.png").write_bytes((frames_folder / "00000.png").read_bytes())
    assert node.IS_CHANGED(path=str(tmp_path)) != stamp
