"""Where a network runs."""

from __future__ import annotations

import torch

from ca_model.errors import ModelError

__all__ = ["choose_device"]


def choose_device(name: str) -> torch.device:
    """Device of a name, checked to be there.

    Args:
        name: `auto` (a CUDA device, else Apple's, else the processor) or a device torch knows, such as `cpu`,
            `cuda:1` or `mps`.

    Returns:
        The device.

    Raises:
        ModelError: if the name is unknown or the device is not there.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add_(1.0).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0][:120] if lines else type(error).__name__
        raise ModelError(
            f"device: expected auto, cpu, or a CUDA or Apple device of this machine, got '{name}' ({reason}); "
            "use auto, cpu or cuda"
        ) from error
    return device
