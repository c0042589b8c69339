"""The examples of the docstrings and of the README run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import ca_metrics
import pytest

README = Path(__file__).resolve().parents[2] / "packages" / "ca-metrics" / "README.md"
MODULES = [name for _, name, _ in pkgutil.iter_modules(ca_metrics.__path__) if name != "__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    module = importlib.import_module(f"ca_metrics.{name}")
    results = doctest.testmod(module)
    assert results.failed == 0


def test_readme() -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        exec(compile(example, str(README), "exec"), {})


def test_public_names_exist_and_are_documented() -> None:
    for name in ca_metrics.__all__:
        assert name == "METRICS" or getattr(ca_metrics, name).__doc__, name
        assert f"`{name}`" in README.read_text() or f"`{name}(" in README.read_text(), name
