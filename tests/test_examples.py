"""Every example in every docstring, README and document runs as it stands; every public name is explained."""

import doctest
import importlib
import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = [
    ROOT / path
    for path in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
]
SOURCES = [
    file for member in MEMBERS for file in sorted(member.glob("src/*/**/*.py")) if file.name != "__main__.py"
]
TEXTS = [
    ROOT / "README.md",
    *(member / "README.md" for member in MEMBERS),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def module_of(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[parts.index("src") + 1 :]).removesuffix(".__init__")


def examples(text: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("file", SOURCES, ids=module_of)
def test_docstrings(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(module_of(file))).failed == 0


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: os.path.relpath(path, ROOT))
def test_documents(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in examples(text):
        exec(compile(block, text.name, "exec"), {})


@pytest.mark.parametrize(
    "member", [path for path in MEMBERS if path.parent.name == "packages"], ids=lambda p: p.name
)
def test_every_public_name_is_in_the_readme(member: Path) -> None:
    module = importlib.import_module(next(member.glob("src/*/__init__.py")).parent.name)
    text = (member / "README.md").read_text(encoding="utf-8")
    assert examples(member / "README.md"), "a README shows one example that runs"
    assert [name for name in module.__all__ if name not in text] == []
