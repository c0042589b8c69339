"""The examples in docstrings and README run as they stand."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "packages" / "ca-data"


@pytest.mark.parametrize("path", sorted((PACKAGE / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_docstrings(path: Path):
    name = ".".join(path.relative_to(PACKAGE / "src").with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_readme():
    blocks = re.findall(
        r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
