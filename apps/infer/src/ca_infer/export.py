"""Export: weights in a file of their own."""

from __future__ import annotations

from pathlib import Path

import ca_model
import torch
from ca_film import load_weights
from ca_model import ModelError

from ca_infer.errors import InferError

__all__ = ["export"]


def export(name: str | None, out: Path, *, half: bool, overwrite: bool) -> Path:
    """Write weights as safetensors with their configuration and what is known about them.

    Args:
        name: a shipped name, a file or a hub id; None for the default.
        out: a `.safetensors` file.
        half: whether to store half precision.
        overwrite: whether a file that is there may be replaced.

    Returns:
        The file.

    Raises:
        FilmError: if there are no such weights.
        InferError: if the file cannot be written.
    """
    if out.suffix != ".safetensors":
        raise InferError(f"output {out} must end in .safetensors; choose another name with -o")
    if out.exists() and not overwrite:
        raise InferError(f"output {out} exists; choose another name with -o, or add --overwrite")
    loaded = load_weights(name)
    try:
        about = ca_model.read_metadata(name if name is not None else loaded.name)
    except ModelError:
        about = {}
    about = {key: value for key, value in about.items() if not key.startswith("coloralign.")}
    try:
        ca_model.save_model(loaded.model, out, about, dtype=torch.float16 if half else None)
    except OSError as error:
        raise InferError(f"output {out} cannot be written ({error.strerror or error}); free space") from error
    return out
