"""Build every member's wheel, install it in an empty environment that holds only what it asks for, and try it."""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEWEST = PROJECT["tool"]["uv"]["exclude-newer"]
SMOKE = Path(__file__).with_name("smoke.py")


def run(*command: str | Path, **keywords: object) -> None:
    subprocess.run([str(part) for part in command], check=True, **keywords)  # type: ignore[call-overload]


def members() -> list[str]:
    """Names of all distributions."""
    paths = PROJECT["tool"]["uv"]["workspace"]["members"]
    return [tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]["name"] for path in paths]


def environment(
    folder: Path,
    wheels: Path,
    names: list[str],
    interpreter: str = sys.executable,
    resolution: str = "highest",
    also: Sequence[str] = (),
) -> Path:
    """Make an environment with these distributions from their wheels, and further requirements; its Python."""
    run("uv", "venv", "--quiet", "--python", interpreter, folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    built = [next(wheels.glob(f"{name.replace('-', '_')}-*.whl")) for name in names]
    install = ["uv", "pip", "install", "--quiet", "--python", python, "--exclude-newer", NEWEST]
    run(*install, "--resolution", resolution, "--find-links", wheels, *built, *also)
    return python


def try_each(wheels: Path) -> None:
    """Install and try every member alone."""
    with tempfile.TemporaryDirectory() as folder:
        for name in members():
            python = environment(Path(folder) / name, wheels, [name])
            run(python, SMOKE, name.replace("-", "_"), cwd=folder)
            print(f"{name}: builds, installs and works alone", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", folder, ROOT)
        try_each(Path(folder))


if __name__ == "__main__":
    main()
