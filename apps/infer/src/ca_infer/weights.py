"""Finding the weights a user names, and saying in one line what is wrong with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import ca_model
import torch
from ca_model import ColorAlignNet, ModelError

from ca_infer.errors import InferError

__all__ = ["LoadedModel", "default_weights", "find_device", "load_weights"]


@dataclass(frozen=True)
class LoadedModel:
    """A network with weights.

    Args:
        model: the network, on the CPU.
        name: what the user, or the default, called it.
        digest: of its parameters.
    """

    model: ColorAlignNet
    name: str
    digest: str


def default_weights() -> str:
    """Name of the shipped weights used when none are named.

    Raises:
        InferError: if none are shipped.
    """
    shipped = ca_model.shipped_weights()
    if not shipped:
        raise InferError("no weights are shipped with this version; give --weights FILE.safetensors")
    return shipped[0]


def load_weights(name: str | None, *, allow_preset: bool = False) -> LoadedModel:
    """Load a network.

    Args:
        name: a shipped name, a safetensors file or `hub:OWNER/NAME`; None for the default.
        allow_preset: whether a preset's name (`tiny`, `paper`, `base`) gives random weights where no shipped
            weights have that name.

    Returns:
        The network and where it came from.

    Raises:
        InferError: if there is no such thing or it does not fit.
    """
    wanted = name if name is not None else default_weights()
    try:
        if allow_preset and wanted in ca_model.PRESETS and wanted not in ca_model.shipped_weights():
            model = ca_model.create_model(wanted)
        else:
            model = ca_model.load_model(wanted)
    except ModelError as error:
        raise InferError(str(error)) from error
    except OSError as error:
        raise InferError(
            f"weights {wanted} cannot be read ({error.strerror or error}); check the path"
        ) from error
    return LoadedModel(model, _shown(wanted), _digest(model))


def find_device(name: str) -> torch.device:
    """`ca_model.choose_device`, its refusal in the command line's words.

    Raises:
        InferError: if the device is unknown or not there.
    """
    try:
        return ca_model.choose_device(name)
    except ModelError as error:
        raise InferError(f"--{error}") from error


def _shown(wanted: str) -> str:
    return Path(wanted).name if Path(wanted).suffix == ".safetensors" else wanted


def _digest(model: ColorAlignNet) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:16]
