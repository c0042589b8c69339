"""Build every wheel and sdist, and check all that can be checked before they are published.

    uv run --group release python .ci/release.py          # into dist/; publishes nothing

Version and changelog agree; the metadata is valid (twine); a wheel holds its module, types marker and licence and
nothing else, an sdist its sources and texts; each wheel installs in an empty environment and works there.
"""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from isolation import PROJECT, ROOT, run, try_each

DIST = ROOT / "dist"
STRAY = ("__pycache__", ".pyc", ".pytest_cache", ".partial", "runs/", ".venv")


def agree(path: Path) -> list[str]:
    """What is wrong with the version and the texts of a member."""
    project = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    heading = next(
        line for line in (path / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    wrong = []
    if heading.split()[1] != project["version"]:
        wrong.append(f"{path.name}: version {project['version']}, but its changelog begins with {heading}")
    return wrong


def contents(path: Path) -> list[str]:
    """What is wrong with the files of a wheel or an sdist."""
    distribution = path.name.split("-")[0]
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
        strange = [name for name in names if not name.startswith((f"{distribution}/", f"{distribution}-"))]
        wanted = [f"{distribution}/__init__.py", f"{distribution}/py.typed"]
        ends = ["licenses/LICENSE", "/METADATA"]
    else:
        with tarfile.open(path) as sdist:
            names = sdist.getnames()
        strange = []
        wanted = []
        ends = [
            "/README.md",
            "/LICENSE",
            "/pyproject.toml",
            f"/src/{distribution}/__init__.py",
            f"/src/{distribution}/py.typed",
        ]
    strange += [name for name in names if any(mark in name for mark in STRAY)]
    lacking = [name for name in wanted if name not in names]
    lacking += [end for end in ends if not any(name.endswith(end) for name in names)]
    print(f"{path.name}: {len(names)} files, {path.stat().st_size / 1e6:.2f} MB")
    return [f"{path.name} holds {name}" for name in strange] + [
        f"{path.name} lacks {name}" for name in lacking
    ]


def main() -> int:
    members = [ROOT / path for path in PROJECT["tool"]["uv"]["workspace"]["members"]]
    wrong = [line for member in members for line in agree(member)]
    shutil.rmtree(DIST, ignore_errors=True)
    run("uv", "build", "--quiet", "--all-packages", "--out-dir", DIST, ROOT)
    built = sorted([*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")])
    if len(built) != 2 * len(members):
        wrong.append(f"{len(members)} members gave {len(built)} files, expected a wheel and an sdist of each")
    wrong += [line for path in built for line in contents(path)]
    checked = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *built], check=False)
    if checked.returncode:
        wrong.append("twine finds fault with the metadata")
    print(*wrong, sep="\n", file=sys.stderr)
    if not wrong and "--no-install" not in sys.argv:
        try_each(DIST)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
