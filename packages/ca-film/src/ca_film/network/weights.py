"""Weights by name, and in one line what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ca_model
import torch
from ca_model import ColorAlignNet, ModelError

from ca_film.errors import FilmError

__all__ = ["LoadedModel", "choose_device", "default_weights", "load_weights"]


@dataclass(frozen=True)
class LoadedModel:
    """A network with weights.

    Args:
        model: the network, on the CPU.
        name: what the user, or the default, called it.
        digest: of the weights file; of a hub repository, its name.
    """

    model: ColorAlignNet
    name: str
    digest: str


def choose_device(name: str) -> torch.device:
    """`ca_model.choose_device`, with a refusal that names the field of `ColorizeOptions`.

    Args:
        name: `auto` (CUDA, else MPS, else the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        FilmError: if the device is unknown or not there.
    """
    try:
        return ca_model.choose_device(name)
    except ModelError as error:
        raise FilmError(f"`device`{str(error).removeprefix('device')}") from error


def default_weights() -> str:
    """Name of the shipped weights used when none are named.

    Raises:
        FilmError: if none are shipped.
    """
    shipped = ca_model.shipped_weights()
    if not shipped:
        raise FilmError("no weights are shipped with this version; give `weights` FILE.safetensors")
    return shipped[0]


def load_weights(name: str | None = None) -> LoadedModel:
    """Load a network.

    Args:
        name: a shipped name, a safetensors file or `hub:OWNER/NAME`; None for the default.

    Returns:
        The network and where it came from.

    Raises:
        FilmError: if there is no such thing or it does not fit.
    """
    wanted = name if name is not None else default_weights()
    try:
        model = ca_model.load_model(wanted)
        digest = wanted if wanted.startswith("hub:") else ca_model.weights_hash(wanted)[:16]
    except ModelError as error:
        raise FilmError(str(error)) from error
    except OSError as error:
        raise FilmError(
            f"weights {wanted} cannot be read ({error.strerror or error}); check the path"
        ) from error
    shown = Path(wanted).name if Path(wanted).suffix == ".safetensors" else wanted
    return LoadedModel(model, shown, digest)
