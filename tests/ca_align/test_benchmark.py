"""The benchmark of the two deformable paths measures."""

import pytest
import torch
from ca_align.__main__ import measure


@pytest.mark.parametrize("modulated", [False, True])
def test_benchmark_measures_both_directions(modulated: bool):
    forward, backward = measure((1, 4, 5, 7, 2, 3, modulated), repeats=1, device=torch.device("cpu"))
    assert "1 x 4 x 5 x 7" in forward
    assert "forward" in forward
    assert "backward" in backward
    assert len([float(cell) for cell in forward.strip("| ").split(" | ")[-3:]]) == 3
