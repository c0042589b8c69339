"""Build every member's wheel and import it in an empty environment that holds only what it asks for."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEWEST = PROJECT["tool"]["uv"]["exclude-newer"]


def run(*command: str | Path, **keywords: object) -> None:
    subprocess.run([str(part) for part in command], check=True, **keywords)  # type: ignore[call-overload]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", wheels, ROOT)
        for path in PROJECT["tool"]["uv"]["workspace"]["members"]:
            name = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]["name"]
            module = name.replace("-", "_")
            environment = Path(folder) / name
            run("uv", "venv", "--quiet", "--python", sys.executable, environment)
            (wheel,) = wheels.glob(f"{module}-*.whl")
            python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            install = ["uv", "pip", "install", "--quiet", "--python", python, "--exclude-newer", NEWEST]
            run(*install, "--find-links", wheels, wheel)
            code = f"import {module}; assert all(hasattr({module}, name) for name in {module}.__all__)"
            run(python, "-c", code, cwd=folder)
            print(f"{name}: builds and imports alone", flush=True)


if __name__ == "__main__":
    main()
