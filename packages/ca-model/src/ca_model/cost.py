"""What a network costs: parameters, floating-point operations of a frame, memory."""

import resource
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ca_model.network import ColorAlignNet


class Cost(NamedTuple):
    """Attributes:
    parameters: number of learnt numbers.
    gflop_per_frame: 1e9 multiplications and additions of convolutions and matrix products for one frame of a film,
        references already encoded. Elementwise work (warps, flow) is not counted.
    """

    parameters: int
    gflop_per_frame: float


def _attention_flop(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def count_cost(
    model: ColorAlignNet, *, size: tuple[int, int] = (224, 384), references: int = 1, frames: int = 3
) -> Cost:
    """Count parameters and the operations of one frame.

    Args:
        model: the network.
        size: height and width of frames and references.
        references: number of references.
        frames: frames that are run; the last of them is counted on its own.
    """
    device = next(model.parameters()).device
    frame = torch.zeros(1, 1, *size, device=device)
    training = model.training
    model.eval()
    mapping = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}
    totals = []
    with torch.no_grad():
        tokens = model.encode_references(torch.zeros(1, references, 3, *size, device=device))
        # Whole streams of n and n + 1 frames: their difference is one frame, lookahead included.
        for count in (frames, frames + 1):
            with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
                for _ in model.stream([frame] * count, tokens):
                    pass
            totals.append(counter.get_total_flops())
    model.train(training)
    return Cost(count_parameters(model), (totals[1] - totals[0]) / 1e9)


def count_parameters(module: nn.Module) -> int:
    """Number of learnt numbers of a module.

    Args:
        module: any module; frozen parameters count too.
    """
    return sum(parameter.numel() for parameter in module.parameters())


def peak_memory(device: torch.device | None = None) -> int:
    """Most memory held so far, in bytes.

    Args:
        device: a CUDA device: what its tensors held; any other or None: what this process held in main memory.

    Returns:
        Bytes, counted since the process or device was first used, or since `reset_peak_memory`.

    Example:
        >>> peak_memory() > 2**20
        True
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    # macOS counts in bytes, others in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak_memory(device: torch.device | None = None) -> None:
    """Begin to count `peak_memory` anew.

    Only Linux can do so for a process; elsewhere its peak stays that of its whole life.

    Args:
        device: as for `peak_memory`.

    Example:
        >>> reset_peak_memory()
    """
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
