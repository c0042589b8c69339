"""Exported programs, run by the examples of docs/export.md in a process without our packages, against the network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ca_infer.cli import main
from ca_infer.programs import export_programs
from ca_model import create_model, for_inference
from torch.nn import functional as F

FRAMES = 20
SIZES = [(112, 160), (144, 128)]

# Importing any of ours fails; then comes the example, between what it is given and what it leaves.
BEFORE = """
import sys
import torch
sys.modules.update(dict.fromkeys(("ca_model", "ca_align", "ca_attention", "ca_swin", "ca_film", "ca_infer")))
form, size = sys.argv[1:]
given = torch.load(f"{size}.pt", weights_only=True)
still, frames = given["still"], given["frames"].split(1)
if form == "onnx":
    still, frames = still.numpy(), [frame.numpy() for frame in frames]
"""
AFTER = """
torch.save(torch.cat([torch.as_tensor(one) for one in colors]), f"{size}-found.pt")
"""


def example(form: str) -> str:
    """The example of the document that runs programs of a format."""
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (found,) = (
        block for block in re.findall(r"```py\n(.*?)```", text, re.DOTALL) if f"base-{form}/" in block
    )
    return found


def film(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A moving smooth pattern and a still of its first frame."""
    h, w = size
    noise = torch.randn(1, 1, h + 4 + FRAMES, w + 4 + 2 * FRAMES, generator=torch.Generator().manual_seed(9))
    wide = F.avg_pool2d(F.avg_pool2d(noise, 3, 1), 3, 1)
    wide = wide / wide.abs().max()
    frames = torch.cat([wide[..., i : i + h, 2 * i : 2 * i + w] for i in range(FRAMES)])
    first = frames[:1]
    return frames, torch.cat([first, 0.4 * first.flip(-1), -0.3 * first], dim=1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(4)
    return create_model("tiny", semantic=True, zooms=(1.5,)).eval()  # with all that `base` is made of


def expected(network, frames: torch.Tensor, still: torch.Tensor) -> torch.Tensor:
    made = for_inference(network)
    with torch.no_grad():
        return torch.cat(
            [out.ab[:, 0] for out in made.stream(frames.split(1), made.encode_references([still]))]
        )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_programs_run_without_our_packages(
    network, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    # One step of the flow on each level makes graphs of the same operators, a third as large.
    monkeypatch.setattr("ca_align.propagate.FLOW_ITERATIONS", (1,) * 5)
    monkeypatch.setattr("ca_align.propagate.MATCH_ITERATIONS", (1, 1))
    monkeypatch.setattr("ca_align.flow.GUESS_ITERATIONS", 1)
    (folder := tmp_path / f"base-{form}").mkdir()
    export_programs(network, folder, form)
    for size in SIZES:
        frames, still = film(size)
        name = "x".join(map(str, size))
        torch.save({"frames": frames, "still": still}, tmp_path / f"{name}.pt")
        script = BEFORE + example(form) + AFTER
        subprocess.run([sys.executable, "-c", script, form, name], check=True, cwd=tmp_path)
        found = torch.load(tmp_path / f"{name}-found.pt", weights_only=True)
        error = (found - expected(network, frames, still)).abs()
        # Rounding differs, and over the frames single places are matched otherwise, or a step of the flow is not taken.
        assert error[:5].max() < 1e-3
        assert error.mean() < 1e-4
        assert (error > 1e-3).float().mean() < 2e-3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--format", "torch", "-o", "x.pt2"], "must be a folder"),
        (["--format", "torch", "-o", "x", "--half"], "--half is for --format safetensors"),
        (["--format", "jax", "-o", "x.safetensors"], "must be safetensors, torch or onnx"),
    ],
)
def test_bad_formats_are_refused(options: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    assert main(["export", *options]) == 2
    assert says in capsys.readouterr().err
