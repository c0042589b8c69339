"""The most memory a stretch of work holds."""

import resource
import sys
from pathlib import Path

import torch


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
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _forget_peak()
        return self

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            self.peak_mib = torch.cuda.max_memory_allocated(self.device) / 2**20
        else:
            self.peak_mib = _peak_of_process()


def _forget_peak() -> None:
    """Start the kernel's high-water mark anew, where it can (Linux; elsewhere it stays that of the process)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_of_process() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 1024)
