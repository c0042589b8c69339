"""The examples of the README and of the docstrings run."""

import doctest
import importlib
import re
from pathlib import Path

import ca_infer
import pytest

APP = Path(__file__).parents[2] / "apps" / "infer"
MODULES = sorted(path.stem for path in (APP / "src" / "ca_infer").glob("*.py") if path.stem != "__init__")


def test_readme() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (APP / "README.md").read_text(), flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"ca_infer.{name}")).failed == 0


def test_public_names_are_documented() -> None:
    for name in ca_infer.__all__:
        assert getattr(ca_infer, name).__doc__
