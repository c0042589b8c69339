"""Checkpoints: safetensors with the configuration in the metadata; shipped weights by name."""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ca_model.config import ColorAlignConfig
from ca_model.copy_net import CopyNet
from ca_model.errors import ModelError
from ca_model.network import ColorAlignNet
from ca_model.presets import PRESETS, change, preset

CONFIG_KEY = "coloralign.config"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"


def create_model(model: str | ColorAlignConfig, **overrides: Any) -> ColorAlignNet:
    """A network with random weights, but for a `SemanticEncoder`, whose weights are those that ship.

    Args:
        model: name of a preset, or a configuration.
        overrides: fields of the preset to change.

    Raises:
        ModelError: if there is no such preset or field.
    """
    config = change(model, **overrides) if isinstance(model, ColorAlignConfig) else preset(model, **overrides)
    network = ColorAlignNet.of(config)
    if isinstance(network, CopyNet) and network.semantic is not None:
        part = "semantic."
        with safe_open(find_weights("base"), framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(part)]  # noqa: SIM118 - not a mapping
            pretrained = {name.removeprefix(part): file.get_tensor(name) for name in names}
        network.semantic.load_state_dict(pretrained)
    return network


def shipped_weights() -> list[str]:
    """Names of the weights that come with this package, the default one first."""
    names = sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors"))
    return sorted(names, key=lambda name: name != "base")


def find_weights(source: str | Path) -> Path:
    """The file behind a name of shipped weights or a path.

    Raises:
        ModelError: if there is no such file.
    """
    if str(source) in shipped_weights():
        return WEIGHTS_FOLDER / f"{source}.safetensors"
    path = Path(source)
    if not path.is_file():
        shipped = ", ".join(shipped_weights()) or "none"
        hint = " (that is a preset, which has no weights of its own)" if str(source) in PRESETS else ""
        raise ModelError(f"weights {str(source)!r}: no such file{hint}; shipped weights: {shipped}")
    return path


def load_model(source: str | Path) -> ColorAlignNet:
    """A network with weights, in evaluation mode, float32, on the CPU, channels last (nearly twice as fast there).

    Args:
        source: name of shipped weights, path of a `.safetensors` file, or `hub:OWNER/NAME` of a hub repository.

    Raises:
        ModelError: if there is no such file, it is no safetensors file, or its tensors do not fit its configuration.
    """
    if str(source).startswith("hub:"):
        return ColorAlignNet.from_pretrained(str(source).removeprefix("hub:")).eval()
    path = find_weights(source)
    metadata = read_metadata(path)
    if CONFIG_KEY not in metadata:
        raise ModelError(
            f"weights {path.name}: no ColorAlignNet configuration in its metadata; save it with save_model"
        )
    model = ColorAlignNet.of(ColorAlignConfig.from_dict(json.loads(metadata[CONFIG_KEY])))
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    expected = model.state_dict()
    wrong = sorted(
        {name for name in expected if name not in state or state[name].shape != expected[name].shape}
        | (set(state) - set(expected))
    )
    if wrong:
        raise ModelError(
            f"weights {path.name}: {len(wrong)} tensors do not fit its configuration, first {wrong[0]}; "
            "it was made by another version or for another model"
        )
    model.load_state_dict(state)
    return model.float().to(memory_format=torch.channels_last).eval()


def save_model(
    model: ColorAlignNet,
    path: str | Path,
    metadata: dict[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write the weights with the configuration, complete or not at all.

    Args:
        model: the network.
        path: a `.safetensors` file; replaced if it exists.
        metadata: more to say about the weights (recipe, data, scores).
        dtype: precision of the file, say `torch.float16`; that of the model if None.
    """
    path = Path(path)
    state = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()
        for name, value in model.state_dict().items()
    }
    about = {**(metadata or {}), CONFIG_KEY: json.dumps(asdict(model.config))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / path.name
        save_file(state, unfinished, metadata=about)
        unfinished.replace(path)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a safetensors file.

    Raises:
        ModelError: if it is missing or no safetensors file.
    """
    try:
        with safe_open(find_weights(path), framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"weights {Path(path).name}: not a readable safetensors file ({error})") from error


def weights_hash(path: str | Path) -> str:
    """SHA-256 of a weights file, in hexadecimal."""
    return hashlib.sha256(find_weights(path).read_bytes()).hexdigest()


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's tensors, for weights that came from no file, say from a hub."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
