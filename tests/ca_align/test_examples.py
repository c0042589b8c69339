"""The examples in docstrings and README run as they stand, and the benchmark measures."""

import doctest
import importlib
import re
from pathlib import Path

import ca_align
import pytest
import torch
from ca_align.__main__ import measure

MODULES = ["align", "deform", "flex", "flow", "propagate"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str):
    result = doctest.testmod(importlib.import_module(f"ca_align.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_readme(repository: Path):
    text = (repository / "packages" / "ca-align" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert all(name in text for name in ca_align.__all__)


@pytest.mark.parametrize("modulated", [False, True])
def test_benchmark_measures_both_directions(modulated: bool):
    forward, backward = measure((1, 4, 5, 7, 2, 3, modulated), repeats=1, device=torch.device("cpu"))
    assert "1 x 4 x 5 x 7" in forward
    assert "forward" in forward
    assert "backward" in backward
    assert len([float(cell) for cell in forward.strip("| ").split(" | ")[-3:]]) == 3
