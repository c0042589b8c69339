"""Try the packages with the oldest and the newest of what they ask for, under every supported Python that is here.

    uv run python .ci/versions.py                      # all Pythons from 3.11 to 3.14, both ends
    uv run python .ci/versions.py --python 3.11 --resolution lowest-direct
    uv run python .ci/versions.py --python ~/.pyenv/versions/3.13.0/bin/python    # one that uv does not find by itself

`lowest-direct` installs the lower bound of every dependency that a pyproject.toml names, torch among them (gigabytes);
`highest` the newest before the workspace's date. A Python that is not on the machine is named and passed over.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from isolation import ROOT, SMOKE, environment, run

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
# Of the oldest numpy, SciPy and torch that we ask for there are wheels for these alone.
OLDEST = ("3.11", "3.12")
TRIED = ["ca-attention", "ca-align", "ca-swin", "ca-losses", "ca-metrics", "ca-data", "ca-model", "ca-film"]


def is_here(python: str) -> bool:
    """Whether uv finds a Python without fetching it."""
    command = ["uv", "python", "find", "--no-python-downloads", python]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def asked_for() -> list[str]:
    """What the packages' own pyproject.toml ask for: bounds of a wheel's metadata are not "direct" to the resolver."""
    paths = [ROOT / "packages" / name / "pyproject.toml" for name in TRIED]
    wanted = [name for path in paths for name in tomllib.loads(path.read_text())["project"]["dependencies"]]
    return sorted({name for name in wanted if not name.startswith("ca-")})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("--resolution", nargs="+", default=RESOLUTIONS, choices=RESOLUTIONS)
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", folder / "wheels", ROOT)
        for python in options.python:
            if not is_here(python):
                print(f"python {python}: not on this machine, passed over", flush=True)
                continue
            for resolution in options.resolution:
                if resolution == "lowest-direct" and python in PYTHONS and python not in OLDEST:
                    print(
                        f"python {python}, {resolution}: too new for the lower bounds, passed over",
                        flush=True,
                    )
                    continue
                try:
                    where = Path(tempfile.mkdtemp(dir=folder)) / "environment"
                    made = environment(where, folder / "wheels", TRIED, python, resolution, asked_for())
                    run(made, SMOKE, *(name.replace("-", "_") for name in TRIED), cwd=folder)
                except subprocess.CalledProcessError:
                    failed.append(f"python {python}, {resolution}")
                    print(f"{failed[-1]}: failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
