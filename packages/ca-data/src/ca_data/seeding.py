"""One random stream per sample, independent of workers, order and restarts."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["sample_generator"]


def sample_generator(seed: int, *keys: int) -> torch.Generator:
    """A CPU generator for one sample, determined by its keys alone.

    The keys are mixed by NumPy's SeedSequence, whose streams do not repeat each other for neighbouring keys
    (a sum such as seed + index would).

    Args:
        seed: the run's seed, >= 0.
        keys: what names the sample, such as epoch and index; all >= 0.

    Returns:
        A fresh `torch.Generator` on the CPU.

    Raises:
        ValueError: if a key is negative.

    Example:
        >>> draw = lambda *keys: torch.rand(1, generator=sample_generator(*keys)).item()
        >>> draw(7, 0, 3) == draw(7, 0, 3), draw(7, 0, 3) == draw(7, 3, 0)
        (True, False)
    """
    if min((seed, *keys)) < 0:
        raise ValueError(f"seed and keys must be >= 0, got {(seed, *keys)}; use non-negative numbers")
    state = np.random.SeedSequence([seed, *keys]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 ^ int(state[1]))
