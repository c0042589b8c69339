"""Checkpoints: safetensors with the configuration in the metadata; shipped weights by name."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

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

    Args:
        source: a name (`base`) or a file.

    Raises:
        ModelError: if there is no such file.
    """
    if str(source) in shipped_weights():
        return WEIGHTS_FOLDER / f"{source}.safetensors"
    path = Path(source)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises on names that are too long
        shipped = ", ".join(shipped_weights()) or "none"
        hint = " (that is a preset, which has no weights of its own)" if str(source) in PRESETS else ""
        raise ModelError(f"weights {str(source)[:200]!r}: no such file{hint}; shipped weights: {shipped}")
    return path


def load_model(source: str | Path) -> ColorAlignNet:
    """A network with weights, in evaluation mode, float32, on the CPU, channels last (nearly twice as fast there).

    Args:
        source: name of shipped weights, path of a `.safetensors` file, or `hub:OWNER/NAME` of a hub repository.

    Raises:
        ModelError: if there is no such file, it is no safetensors file, its configuration is odd, its tensors do not
            fit it, or hold NaN or infinity; nothing is built then.
    """
    if str(source).startswith("hub:"):
        model = _from_hub(str(source).removeprefix("hub:"))
    else:
        path = find_weights(source)
        config = _stated_config(path)
        with _readable(path) as file:
            # Shapes are read from the file's head: what does not fit is refused before anything is built or loaded.
            stored = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
            _check_fit(path.name, config, stored)
            state = {name: file.get_tensor(name) for name in stored}
        model = ColorAlignNet.of(config)
        _check_finite(path.name, state)
        model.load_state_dict(state)
    return model.float().to(memory_format=torch.channels_last).eval()


def _from_hub(name: str) -> ColorAlignNet:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or ".." in name:
        raise ModelError(f"weights 'hub:{name}': expected hub:OWNER/NAME, as in hub:someone/coloralign")
    try:
        model = ColorAlignNet.from_pretrained(name)
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"weights 'hub:{name}' cannot be had ({reason}); check name and connection"
        ) from error
    _check_finite(f"hub:{name}", model.state_dict())
    return model


def _stated_config(path: Path) -> ColorAlignConfig:
    metadata = read_metadata(path)
    if CONFIG_KEY not in metadata:
        raise ModelError(
            f"weights {path.name}: no ColorAlignNet configuration in its metadata; save it with save_model"
        )
    try:
        return ColorAlignConfig.from_dict(json.loads(metadata[CONFIG_KEY]))
    except ModelError as error:
        raise ModelError(f"weights {path.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"weights {path.name}: its configuration is no JSON that can be read; it is damaged"
        ) from error


def _check_fit(name: str, config: ColorAlignConfig, stored: Mapping[str, Sequence[int]]) -> None:
    """Hold a file's shapes against those its configuration asks for, without giving these any memory."""
    too_deep = (
        len(stored) < config.body_depth
    )  # a block has tensors of its own; even an empty network takes time to make
    if not too_deep:
        with torch.device("meta"):
            expected = {
                key: list(value.shape) for key, value in ColorAlignNet.of(config).state_dict().items()
            }
        wrong = sorted(
            {key for key, shape in expected.items() if list(stored.get(key, ())) != shape}
            | (set(stored) - set(expected))
        )
        if not wrong:
            return
    first = "fewer tensors than blocks" if too_deep else f"first {wrong[0]}"
    raise ModelError(
        f"weights {name}: {len(stored) if too_deep else len(wrong)} tensors do not fit its configuration, {first}; "
        "it was made by another version or for another model"
    )


def _check_finite(name: str, state: Mapping[str, Tensor]) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(f"weights {name}: {key} holds values that are no numbers; the file is damaged")


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
        unfinished.write_bytes(
            save(state, metadata=about)
        )  # whose errors are the system's: a full disk is an OSError
        unfinished.replace(path)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a safetensors file.

    Args:
        path: the file, or a name of shipped weights.

    Raises:
        ModelError: if it is missing or no safetensors file.
    """
    with _readable(find_weights(path)) as file:
        return file.metadata() or {}


@contextmanager
def _readable(path: Path) -> Iterator[Any]:
    """An open safetensors file; whatever cannot be read of it is one `ModelError`."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ModelError(f"weights {path.name}: not a readable safetensors file ({error})") from error


def weights_hash(path: str | Path) -> str:
    """SHA-256 of a weights file, in hexadecimal.

    Args:
        path: the file, or a name of shipped weights.

    Raises:
        ModelError: if there is no such file.
    """
    return hashlib.sha256(find_weights(path).read_bytes()).hexdigest()


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's tensors, for weights that came from no file, say from a hub.

    Args:
        module: the network.

    Returns:
        In hexadecimal.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
