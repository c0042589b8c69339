"""Benchmark of training (`bench`): speed, share of the machine's matrix product, and peak memory."""

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated

import ca_model
import torch
import typer
from ca_data import parse_size
from rich.console import Console
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import ComputeChoice
from ca_trainer.training.devices import make_fabric

MATRIX_SIDE = {"cpu": 1536, "cuda": 8192, "mps": 4096}
PASSES = 3


@dataclass(frozen=True)
class BenchCase:
    """Settings of one measurement.

    Args:
        preset: of ca_model.
        device: cpu, cuda or mps.
        precision: as in a recipe.
        size: height and width in pixels.
        frames: of one clip.
        batch: clips at once; each has one reference.
    """

    preset: str
    device: str
    precision: str
    size: tuple[int, int]
    frames: int
    batch: int


@dataclass(frozen=True)
class BenchResult:
    """Speed and memory of one measurement, medians over a few passes after one to warm up.

    Args:
        forward_fps: frames per second without gradients.
        training_fps: frames per second forward and backward.
        forward_share: of the matrix-product ceiling, forward.
        training_share: the same, forward and backward.
        peak_mib: most memory during a training pass: of the device, on a CPU of the process.
        ceiling_gflops: what one large matrix product reaches here, 1e9 operations per second.
    """

    forward_fps: float
    training_fps: float
    forward_share: float
    training_share: float
    peak_mib: float
    ceiling_gflops: float


def measure(case: BenchCase) -> BenchResult:
    """Time one preset on one device in one precision.

    Raises:
        TrainerError: unknown preset, or no such device.
    """
    fabric = make_fabric(ComputeChoice(device=case.device, precision=case.precision))
    device = fabric.device
    model = fabric.setup_module(ca_model.create_model(case.preset))
    lightness = torch.zeros(case.batch, case.frames, 1, *case.size, device=device)
    references = torch.zeros(case.batch, 1, 3, *case.size, device=device)

    def forward() -> Tensor:
        output: ca_model.ColorOutput = model(lightness, references)
        return output.ab.abs().mean()

    def train() -> None:
        fabric.backward(forward())
        model.zero_grad()

    with torch.no_grad():
        forward_flop, forward_time = count_flop(forward), time_passes(forward, device)
    training_flop = count_flop(train)
    ca_model.reset_peak_memory(device)
    training_time = time_passes(train, device)
    peak = ca_model.peak_memory(device)
    ceiling = matrix_ceiling(device, case.precision)
    frames = case.batch * case.frames
    return BenchResult(
        forward_fps=frames / forward_time,
        training_fps=frames / training_time,
        forward_share=forward_flop / forward_time / ceiling,
        training_share=training_flop / training_time / ceiling,
        peak_mib=peak / 2**20,
        ceiling_gflops=ceiling / 1e9,
    )


def count_flop(call: Callable[[], object]) -> int:
    """Multiplications and additions of convolutions and matrix products, attention on a CPU included.

    Example:
        >>> count_flop(lambda: torch.ones(3, 5) @ torch.ones(5, 7))
        210
    """
    aten = torch.ops.aten
    mapping = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: (
            lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v)
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        call()
    return int(counter.get_total_flops())


def matrix_ceiling(device: torch.device, precision: str) -> float:
    """Operations per second of one large matrix product, the most this machine gives in a precision."""
    types = {"bf16": torch.bfloat16, "16": torch.float16, "32": torch.float32, "64": torch.float64}
    side = MATRIX_SIDE[device.type]
    a = torch.randn(side, side, device=device).to(types[precision.split("-")[0]])
    return 2 * side**3 / time_passes(lambda: a @ a, device)


def time_passes(call: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a call, after one that warms up."""
    seconds = []
    for _ in range(PASSES + 1):
        _finish(device)
        started = time.perf_counter()
        call()
        _finish(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def format_table(results: Iterable[tuple[BenchCase, BenchResult]]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| preset | device | precision | forward, frames/s | of ceiling | forward + backward, frames/s | of ceiling "
        "| peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, result in results:
        lines.append(
            f"| {case.preset} | {case.device} | {case.precision} | {result.forward_fps:.2f} "
            f"| {result.forward_share:.0%} | {result.training_fps:.2f} | {result.training_share:.0%} "
            f"| {result.peak_mib:.0f} |"
        )
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("bench")(bench_command)


def bench_command(
    presets: Annotated[list[str] | None, typer.Option("--preset", help="Default: all.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    precisions: Annotated[
        list[str] | None, typer.Option("--precision", help="Default: 32-true, on CUDA bf16-mixed too.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height.")] = "384x224",
    frames: Annotated[int, typer.Option(min=1, help="Frames of a clip.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Clips at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure speed and memory of training on this machine."""
    frame_size = parse_size(size)
    unknown = [name for name in presets or [] if name not in ca_model.PRESETS]
    if unknown:
        raise TrainerError(f"--preset: expected some of {', '.join(ca_model.PRESETS)}, got {unknown[0]!r}")
    device = make_fabric(ComputeChoice(device=device)).device.type
    chosen = precisions or (["32-true", "bf16-mixed"] if device == "cuda" else ["32-true"])
    console = Console(stderr=True)
    results = []
    for preset in presets or list(ca_model.PRESETS):
        for precision in chosen:
            console.print(f"measuring {preset}, {precision} ...")
            case = BenchCase(preset, device, precision, frame_size, frames, batch)
            results.append((case, measure(case)))
    if as_json:
        print(json.dumps([asdict(case) | asdict(result) for case, result in results], indent=2))
        return
    print(format_table(results))
    ceilings = sorted({f"{case.precision} {result.ceiling_gflops:.0f}" for case, result in results})
    print(
        f"\n{batch} x {frames} frames of {size}, 1 reference; {torch.get_num_threads()} threads; "
        f"matrix product, GFLOP/s: {', '.join(ceilings)}; torch {torch.__version__}"
    )
