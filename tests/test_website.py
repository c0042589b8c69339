"""The site's pages: staged from the repository's own texts, every one to be found, every link led to its page."""

import doctest
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def module(name: str) -> ModuleType:
    """A file of website/, which is a program and no package."""
    described = importlib.util.spec_from_file_location(
        f"website_{name.strip('_')}", ROOT / "website" / f"{name}.py"
    )
    assert described is not None
    assert described.loader is not None
    made = importlib.util.module_from_spec(described)
    described.loader.exec_module(made)
    return made


def entries(nav: list[dict]) -> Iterator[str]:
    for one in nav:
        for value in one.values():
            yield from [value] if isinstance(value, str) else entries(value)


@pytest.fixture(scope="module")
def website() -> ModuleType:
    return module("__main__")


def test_every_page_is_in_the_navigation(website: ModuleType) -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    pages = {*website.sources().values(), "changes.md"}
    assert set(entries(nav)) == pages, "zensical.toml lists every page once"


def test_links_lead_from_page_to_page(website: ModuleType) -> None:
    pages = website.sources()
    file = ROOT / "docs" / "evaluation.md"
    given = "[a](../packages/ca-metrics/README.md) [b](color.md#x) [c](#here) [d](../pyproject.toml) [e](../README.md)"
    assert website.relink(given, file, "evaluation.md", pages) == (
        "[a](packages/ca-metrics.md) [b](color.md#x) [c](#here) d [e](index.md)"
    )
    member = ROOT / "packages" / "ca-model" / "README.md"
    assert (
        website.relink("[x](../../docs/export.md)", member, "packages/ca-model.md", pages)
        == "[x](../export.md)"
    )


def test_code_is_left_alone(website: ModuleType) -> None:
    text = "`a[0](b)`\n\n```python\nprograms[0](frames[0], states[1](x))\n```\n"
    assert website.relink(text, ROOT / "README.md", "index.md", {}) == text


def test_a_link_to_nothing_stops_the_build(website: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"README.md: the link to docs/nowhere.md leads nowhere"):
        website.relink("[x](docs/nowhere.md)", ROOT / "README.md", "index.md", {})


def test_every_link_of_every_text(website: ModuleType) -> None:
    pages = website.sources()
    for file, page in pages.items():
        website.relink(file.read_text(encoding="utf-8"), file, page, pages)
    website.relink((ROOT / "README.md").read_text(encoding="utf-8"), ROOT / "README.md", "index.md", pages)


def test_what_a_page_loads_from_elsewhere_is_a_fault(
    website: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="c.html">2</a><a href="b.html#no">3</a>'
        '<script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    monkeypatch.setattr(website, "SITE", tmp_path)
    assert website.faults() == [
        "a.html: loads https://example.org/x.js from elsewhere",
        "a.html: c.html leads nowhere",
        "a.html: b.html#no has no such place",
    ]


def test_how_docstrings_are_read() -> None:
    pytest.importorskip("griffe", reason="the docs group is not installed")
    docstrings = module("docstrings")
    sys.modules[docstrings.__name__] = docstrings
    assert doctest.testmod(docstrings).failed == 0
