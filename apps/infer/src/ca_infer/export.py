"""Export: weights in a file of their own, or the network as programs that run without this project."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ca_model
import torch
from ca_film import load_weights
from ca_model import ModelError

from ca_infer.errors import InferError
from ca_infer.programs import FORMATS, export_programs

__all__ = ["export"]


def export(name: str | None, out: Path, *, form: str = "safetensors", half: bool, overwrite: bool) -> Path:
    """Write weights as safetensors with their configuration and what is known about them, or as programs.

    Args:
        name: a shipped name, a file or a hub id; None for the default.
        out: a `.safetensors` file; for programs a folder.
        form: `safetensors`, `torch` or `onnx`.
        half: whether to store half precision.
        overwrite: whether a file that is there may be replaced.

    Returns:
        The file or folder.

    Raises:
        FilmError: if there are no such weights.
        InferError: if the file cannot be written.
    """
    if form in FORMATS:
        return _programs(name, out, form, half=half, overwrite=overwrite)
    if form != "safetensors":
        raise InferError(f"--format must be safetensors, torch or onnx, got '{form}'; choose one of them")
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


def _programs(name: str | None, out: Path, form: str, *, half: bool, overwrite: bool) -> Path:
    """Write a folder of programs, whole or not at all."""
    if half:
        raise InferError("--half is for --format safetensors; leave it out")
    if out.suffix:
        raise InferError(f"output {out} must be a folder for --format {form}; give a name without ending")
    if out.exists() and not overwrite:
        raise InferError(f"output {out} exists; choose another name with -o, or add --overwrite")
    network = load_weights(name).model
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as unfinished:
            folder = Path(unfinished) / out.name
            folder.mkdir()
            export_programs(network, folder, form)
            if out.exists():
                out.rename(Path(unfinished) / "before")
            folder.rename(out)
    except OSError as error:
        raise InferError(f"output {out} cannot be written ({error.strerror or error}); free space") from error
    except ModelError as error:
        raise InferError(str(error)) from error
    return out
