"""The most memory a stretch of work holds."""

import torch
from ca_model import peak_memory, reset_peak_memory


class PeakMemory:
    """Measures within a `with` block: on CUDA what tensors held, on a CPU what the process held.

    Args:
        device: where the work is done.

    Example:
        >>> with PeakMemory(torch.device("cpu")) as memory:
        ...     held = torch.zeros(1000)
        >>> memory.peak_mib > 1
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak_mib = 0.0

    def __enter__(self) -> "PeakMemory":
        reset_peak_memory(self.device)
        return self

    def __exit__(self, *error: object) -> None:
        self.peak_mib = peak_memory(self.device) / 2**20
