"""Programs: the streaming network as graphs that run without this project, by torch alone or in onnxruntime."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from ca_model import ColorAlignNet, FirstStep, NextStep, ReferenceStep, for_inference
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_map_only

from ca_infer.errors import InferError

__all__ = ["FORMATS", "export_programs"]

# Ending of a program in each format.
FORMATS = {"torch": ".pt2", "onnx": ".onnx"}
# Sides are multiples of 16 from 112 up, so that the flow's pyramid has all its levels; this is what the graphs are
# traced with, prime multiples, so that no size is taken for another.
_STRIDE, _LEAST = 16, 7
_TRACED, _STILL = (11 * _STRIDE, 13 * _STRIDE), (17 * _STRIDE, 19 * _STRIDE)


def export_programs(network: ColorAlignNet, folder: Path, form: str) -> list[Path]:
    """Write the three functions of a film, `references`, `first` and `next`, and `programs.json` about them.

    Args:
        network: a copying network with attention, with weights.
        folder: an empty folder.
        form: a key of `FORMATS`.

    Returns:
        The files.

    Raises:
        InferError: if what ONNX needs is not installed.
        ModelError: for a network without explicit state.
    """
    if form == "onnx" and importlib.util.find_spec("onnxscript") is None:
        raise InferError("--format onnx needs onnx and onnxscript; install ca-infer[onnx]")
    files, about = [], {}
    with torch.no_grad():
        for name, step, arguments, shapes in _traced(_plain(for_inference(network))):
            sizes = {"arguments": tuple(shapes.values())}
            program = torch.export.export(_Apart(step), arguments, dynamic_shapes=sizes)
            path = folder / f"{name}{FORMATS[form]}"
            inputs, outputs = _names(arguments), _output_names(step(*arguments))
            if form == "torch":
                torch.export.save(program, path)
            else:
                _save_onnx(program, path, list(inputs), outputs)
            about[name] = {"inputs": inputs, "outputs": outputs}
            files.append(path)
    listing = folder / "programs.json"
    listing.write_text(
        json.dumps({"multiple_of": _STRIDE, "least": _LEAST * _STRIDE, "programs": about}, indent=1)
    )
    return [*files, listing]


class _Apart(nn.Module):
    """A step whose results share no memory with each other or with what it was given: they keep names of their own."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, *arguments: Any) -> Any:
        return tree_map_only(Tensor, torch.clone, self.step(*arguments))


def _plain(network: ColorAlignNet) -> ColorAlignNet:
    """The same network, every weight row-major in memory of its own: a saved program takes no other for what it is."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return network


def _traced(network: ColorAlignNet) -> list[tuple[str, nn.Module, tuple[Any, ...], dict[str, Any]]]:
    """Each step with arguments to trace it by and the sizes that may vary."""
    encode, first, following = ReferenceStep(network), FirstStep(network), NextStep(network)
    still, lightness = torch.zeros(1, 3, *_STILL), torch.zeros(1, 1, *_TRACED)
    references = encode(still)
    # Copies: of arguments that are one tensor, a trace takes each for the last of them.
    state = {name: value.clone() for name, value in first(lightness.clone(), references)[2].items()}
    of_still = {"still": {2: _STRIDE * Dim("still_h", min=2), 3: _STRIDE * Dim("still_w", min=2)}}
    of_lightness = {2: _STRIDE * Dim("h", min=_LEAST), 3: _STRIDE * Dim("w", min=_LEAST)}
    of_references = {name: _free(value, name in ("keys", "values")) for name, value in references.items()}
    of_state = {name: _free(value, False) for name, value in state.items()}
    of_first = {"lightness": of_lightness, "references": of_references}
    return [
        ("references", encode, (still,), of_still),
        ("first", first, (lightness, references), of_first),
        ("next", following, (lightness, references, state), {**of_first, "state": of_state}),
    ]


def _free(value: Tensor, tokens: bool) -> dict[int, Any]:
    """Axes that vary with the size: the number of tokens, or height and width."""
    if value.ndim < 4:
        return {}
    return {2: Dim.AUTO} if tokens else {2: Dim.AUTO, 3: Dim.AUTO}


def _names(arguments: tuple[Any, ...]) -> dict[str, list[int]]:
    """Names of all tensors handed in, flat, with the shapes they were traced with."""
    flat: dict[str, list[int]] = {}
    for place, argument in enumerate(arguments):
        if isinstance(argument, Tensor):
            flat["still" if argument.shape[1] == 3 else "lightness"] = list(argument.shape)
        else:
            prefix = "references" if place == 1 else "state"
            flat |= {f"{prefix}.{name}": list(value.shape) for name, value in argument.items()}
    return flat


def _output_names(outputs: Any) -> list[str]:
    if isinstance(outputs, dict):
        return [f"references.{name}" for name in outputs]
    return ["ab", "confidence", *(f"state.{name}" for name in outputs[2])]


def _save_onnx(program: ExportedProgram, path: Path, inputs: list[str], outputs: list[str]) -> None:
    # Names of what comes out differ from those of what goes in, which ONNX wants.
    written = torch.onnx.export(
        program,
        input_names=inputs,
        output_names=[f"{name}.out" for name in outputs],
        dynamo=True,
        verbose=False,
        # onnxruntime simplifies a graph when it loads it; on thousands of operators the exporter's own pass does
        # not end in a quarter of an hour.
        optimize=False,
    )
    assert written is not None
    written.save(path)
