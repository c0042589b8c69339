"""The workflows name what is there: members, scripts, Pythons; the release script finds what is wrong."""

import importlib.util
import io
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / ".ci")
    described = importlib.util.spec_from_file_location("release_script", ROOT / ".ci" / "release.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    sys.modules.pop("isolation")
    return module


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_a_workflow_is_read_only_and_runs_what_is_there(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            for word in step.get("run", "").split():
                if word.startswith(".ci/"):
                    assert (ROOT / word).is_file(), word
    text = path.read_text()
    assert "secrets." not in text


def test_every_changelog_has_its_version(release: ModuleType) -> None:
    members = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    assert [line for member in members for line in release.agree(ROOT / member)] == []


def test_a_version_without_a_heading_is_found(release: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ca-x"\nversion = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n\n- first\n")
    (line,) = release.agree(tmp_path)
    assert "version 0.2.0, but its changelog begins with ## 0.1.0" in line


def test_stray_and_missing_files_are_found(release: ModuleType, tmp_path: Path) -> None:
    wheel = tmp_path / "ca_x-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (
            "ca_x/__init__.py",
            "ca_x/__pycache__/a.pyc",
            "tests/test_a.py",
            "ca_x-0.1.0.dist-info/METADATA",
        ):
            archive.writestr(name, "")
    assert release.contents(wheel) == [
        "ca_x-0.1.0-py3-none-any.whl holds tests/test_a.py",
        "ca_x-0.1.0-py3-none-any.whl holds ca_x/__pycache__/a.pyc",
        "ca_x-0.1.0-py3-none-any.whl lacks ca_x/py.typed",
        "ca_x-0.1.0-py3-none-any.whl lacks licenses/LICENSE",
    ]
    sdist = tmp_path / "ca_x-0.1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("README.md", "pyproject.toml", "src/ca_x/__init__.py", "src/ca_x/py.typed"):
            archive.addfile(tarfile.TarInfo(f"ca_x-0.1.0/{name}"), io.BytesIO())
    assert release.contents(sdist) == ["ca_x-0.1.0.tar.gz lacks /LICENSE"]
