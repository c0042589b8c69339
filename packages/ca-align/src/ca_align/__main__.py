"""Measure both paths of the deformable convolution against a plain one: `python -m ca_align`."""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ca_align import deform_conv2d

# batch, channels, rows, columns, offset groups, kernel, modulated; the first is H/4 of a 384 x 224 frame.
CASES = (
    (1, 64, 56, 96, 8, 3, False),
    (1, 64, 56, 96, 8, 3, True),
    (1, 64, 56, 96, 1, 3, False),
    (1, 64, 56, 96, 8, 1, False),
    (4, 64, 56, 96, 8, 3, False),
    (4, 64, 28, 48, 8, 3, False),
)
PATHS = ("conv2d", "torchvision", "sampling")


def milliseconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Shortest of several runs after one of warm-up; on the CPU processor time, which ignores other programs."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return 1e3 * min(times)


def measure(case: tuple[int, int, int, int, int, int, bool], repeats: int, device: torch.device) -> list[str]:
    """The two table rows of a case: forward, and forward with backward."""
    batch, channels, h, w, groups, kernel, modulated = case
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    taps = groups * kernel**2
    # Offsets of a few pixels, different at every pixel: harder on the caches than real motion.
    inputs = [normal(batch, channels, h, w), 3 * normal(batch, 2 * taps, h, w)]
    inputs.append(normal(channels, channels, kernel, kernel))
    if modulated:
        inputs.append(normal(batch, taps, h, w).sigmoid())

    def convolve(path: str, x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None = None) -> Tensor:
        if path == "conv2d":
            return F.conv2d(x, weight, padding=kernel // 2)
        return deform_conv2d(x, offset, weight, None, mask, padding=kernel // 2, path=path)

    def run(path: str, leaves: list[Tensor]) -> None:
        out = convolve(path, *leaves)
        if out.requires_grad:
            torch.autograd.grad(out.sum(), leaves, allow_unused=True)

    rows = []
    for name, train in (("forward", False), ("+ backward", True)):
        leaves = [value.clone().requires_grad_(train) for value in inputs]
        times = [milliseconds(partial(run, path, leaves), repeats, device) for path in PATHS]
        cells = " | ".join(f"{value:.1f}" for value in times)
        shape = f"{batch} x {channels} x {h} x {w}"
        rows.append(f"| {shape} | {groups} | {kernel}{' v2' if modulated else ''} | {name} | {cells} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ca_align", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (measured with one thread), cuda, ...")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"milliseconds, {options.device}, torch {torch.__version__}\n")
    print(f"| batch x channels x h x w | groups | kernel | | {' | '.join(PATHS)} |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        print("\n".join(measure(case, options.repeats, torch.device(options.device))), flush=True)


if __name__ == "__main__":
    main()
