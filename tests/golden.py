"""Golden values: what the programs make today, so that a refactoring can show that it changed nothing.

    uv run python tests/golden.py record FILE      # before
    uv run python tests/golden.py check FILE       # after, on the same machine: exit code 1 names what differs

Only the command lines and a handful of public functions are used, so the script outlives any move behind them. Floats
differ between processors, so a file of golden values means something only on the machine that recorded it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DAVIS = ROOT.parent / "shared" / "data" / "davis"
FRAMES, SIZE = 8, (112, 192)
# The base recipe's own data is real clips in batches for a GPU; its losses and optimizer stay as they are.
BASE = ("data.source='synthetic'", "data.batch=1", "data.clips=8", "data.frames=24", "data.clip_length=16")
QUICK = ("data.validation_clips=1", "data.validation_frames=2")
BASE += (
    "data.size=[112,192]",
    "data.crop=[64,96]",
    "data.workers=0",
    "validate_every=0",
    "compute.device='cpu'",
)


def run(*command: object) -> None:
    """Run a program of the checkout; its own words explain a failure."""
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's names and files."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        if file.is_file():
            whole.update(file.name.encode() + file.read_bytes())
    return whole.hexdigest()[:24]


def make_clips(folder: Path) -> dict[str, Path]:
    """A synthetic clip, and the start of a real one where there is one (else another synthetic one)."""
    from ca_data import FrameFolder, synthetic_clip, write_frames

    real = DAVIS / "blackswan"
    second = FrameFolder(real).read(range(FRAMES)) if real.is_dir() else synthetic_clip(7, FRAMES, SIZE)
    clips = {"synthetic": synthetic_clip(3, FRAMES, SIZE), "real": second}
    for name, frames in clips.items():
        write_frames(frames, folder / name)
        write_frames(frames[:1], folder / f"{name}-stills")
    return {name: folder / name for name in clips}


def make_tiny(path: Path) -> None:
    """Weights of `tiny`, which ships none: random ones, always the same."""
    import torch
    from ca_model import create_model, save_model

    torch.manual_seed(5)
    save_model(create_model("tiny"), path)


def losses(folder: Path) -> list[str]:
    """Every number a run logged but for times."""
    keys = ("step", "loss", "l1", "grad_norm")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [json.dumps({key: line[key] for key in keys if key in line}) for line in lines if "loss" in line]


def measure() -> dict[str, Any]:
    """All golden values."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = make_clips(folder / "clips")
        make_tiny(folder / "tiny.safetensors")
        for weights in ("base", folder / "tiny.safetensors"):
            for clip, path in clips.items():
                label = f"{Path(str(weights)).stem}-{clip}"
                common = (
                    "--refs",
                    f"{path}-stills",
                    "--weights",
                    weights,
                    "--size",
                    "192x112",
                    "--segment",
                    4,
                )
                run("apps/infer", "colorize", path, *common, "-o", folder / label)
                found[f"{label} png"] = digest(folder / label)
                film = folder / f"{label}.mkv"
                run("apps/infer", "colorize", path, *common, "--codec", "ffv1", "-o", film)
                found[f"{label} ffv1"] = digest(film)
        quick = [part for value in QUICK for part in ("--set", value)]
        run("apps/trainer", "--recipe", "demo", "--max-steps", 20, "--out", folder / "demo", *quick)
        found["demo losses"] = losses(folder / "demo")
        sets = [part for value in (*BASE, *QUICK) for part in ("--set", value)]
        run("apps/trainer", "--recipe", "base", "--max-steps", 5, "--out", folder / "base", *sets)
        found["base losses"] = losses(folder / "base")
        scored = folder / "scored"
        shown = folder / "evaluated"
        shown.mkdir()
        (folder / "clips" / "real").rename(shown / "clip")
        run("apps/trainer", "evaluate", "--data", shown, "--weights", "base", "--out", scored)
        results = json.loads((scored / "results.json").read_text())
        found["evaluation"] = {key: results[key] for key in ("mean", "clips", "frames")}
    return found


def known(before: Any, now: Any) -> Any:
    """What is measured now, without the figures that were not yet measured before: more is no difference."""
    if isinstance(before, dict) and isinstance(now, dict):
        return {key: known(before.get(key), value) for key, value in now.items() if key in before}
    return now


def main(arguments: list[str]) -> int:
    """Record or check."""
    if len(arguments) != 2 or arguments[0] not in ("record", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    file, found = Path(arguments[1]), measure()
    if arguments[0] == "record":
        file.write_text(json.dumps(found, indent=1))
        return 0
    before = json.loads(file.read_text())
    differing = [
        key for key in sorted({*before, *found}) if before.get(key) != known(before.get(key), found.get(key))
    ]
    for key in differing:
        print(f"differs: {key}\n  before {before.get(key)}\n  now    {found.get(key)}")
    print(f"{len(found)} golden values, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
