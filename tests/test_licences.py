"""The table of licences names every distribution that a package asks for, and says what its metadata says."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    "Apache-2.0": "Apache",
    "BSD": "BSD",
    "MIT": "MIT",
    "Python Software Foundation": "Python Software Foundation",
    "LGPL-2.1 or later": "LGPL-2.1-or-later",
}


def listed() -> dict[str, str]:
    """Distributions of the table with their licence."""
    text = (
        (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").split("## What the packages ask for")[1]
    )
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.M)[1:]
    return {re.sub(r" \(.*\)", "", name): licence for licence, names in rows for name in names.split(", ")}


def declared() -> set[str]:
    """Distributions that members ask for, with extras, without the members."""
    paths = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    projects = [tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"] for path in paths]
    extras = [names for project in projects for names in project.get("optional-dependencies", {}).values()]
    wanted = [
        name for names in [*(project["dependencies"] for project in projects), *extras] for name in names
    ]
    return {re.split(r"[\[<>=!; ]", name)[0] for name in wanted} - {project["name"] for project in projects}


def test_every_dependency_has_its_line() -> None:
    assert set(listed()) == declared()


@pytest.mark.parametrize(("name", "licence"), sorted(listed().items()))
def test_it_is_what_the_metadata_say(name: str, licence: str) -> None:
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    fields = [
        metadata.get("License-Expression"),
        metadata.get("License"),
        *metadata.get_all("Classifier", []),
    ]
    assert WORDS[licence] in " ".join(filter(None, fields))
