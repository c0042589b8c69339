"""Benchmark: how fast the network is, stage by stage, and what it costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import ca_model
import torch
from ca_film import load_weights
from ca_model import (
    ColorAlignNet,
    EncodedReferences,
    ModelError,
    Stepper,
    count_cost,
    for_inference,
    peak_memory,
)
from jaxtyping import Float
from torch import Tensor

__all__ = ["BenchReport", "bench", "load_network"]

_WARM_UP = 3
# Side of the matrices of the product that frames are held against, and frames between two products.
_PRODUCT_SIDE, _PRODUCT_EVERY = 1024, 2


@dataclass(frozen=True)
class BenchReport:
    """Times and costs; the fields are the keys of `--json`.

    Args:
        seconds_per_frame: median.
        frames_per_second: its inverse.
        gflop_per_frame: multiplications and additions of convolutions and matrix products, in 1e9.
        parameters: number of learnt numbers.
        peak_rss_mib: most memory the process has held, in MiB.
        product_gflops: rate of this machine's matrix product (float32, 1024 x 1024), 1e9 operations a second, median of
            products timed between the frames.
        product_gflop_per_frame: 1e9 operations of that product that take as long as a frame; the same on a fast and a
            slow machine, and as large as `gflop_per_frame` where nothing is lost.
        stepper_seconds_per_frame: median through fixed buffers (`Stepper`): on a GPU one captured graph a frame; None
            for a network that has no explicit state.
        stages: median seconds per frame of the parts of the network; `other` is the rest.
    """

    seconds_per_frame: float
    frames_per_second: float
    gflop_per_frame: float
    parameters: int
    peak_rss_mib: float
    product_gflops: float
    product_gflop_per_frame: float
    stepper_seconds_per_frame: float | None
    stages: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def load_network(weights: str | None) -> tuple[str, ColorAlignNet]:
    """A network by the name of its weights, or of a preset, which is given random ones.

    Args:
        weights: as for any film, or a preset that ships no weights; None for the default.

    Returns:
        Its name and the network.

    Raises:
        FilmError: if there is no such thing or it does not fit.
    """
    if weights in ca_model.PRESETS and weights not in ca_model.shipped_weights():
        return weights, ca_model.create_model(weights)
    loaded = load_weights(weights)
    return loaded.name, loaded.model


def bench(
    model: ColorAlignNet, size: tuple[int, int], frames: int, references: int, device: torch.device
) -> BenchReport:
    """Time a stream of frames, references already encoded.

    Args:
        model: the network.
        size: height and width of frames and references.
        frames: how many are timed, after a warm-up.
        references: how many there are.
        device: where to run.

    Returns:
        The report.
    """
    cost = count_cost(model, size=size, references=references)
    model = for_inference(model).to(device)  # as a film is coloured
    generator = torch.Generator().manual_seed(0)
    stills = torch.rand(1, references, 3, *size, generator=generator) * 0.5
    frame = torch.rand(1, 1, *size, generator=generator).mul(2.0).sub(1.0).to(device)
    matrix = torch.rand(_PRODUCT_SIDE, _PRODUCT_SIDE, generator=generator).to(device)
    clock, products = _Clock(device), []
    with torch.no_grad(), clock.watching(model):
        tokens = model.encode_references(stills.to(device))
        outputs = model.stream((frame.roll(step, -1) for step in range(frames + _WARM_UP)), tokens)
        rows = []
        for number in range(frames + _WARM_UP):
            rows.append(clock.lap(lambda: next(outputs)))
            if number % _PRODUCT_EVERY == 0:
                matrix @ matrix  # brings its memory back to the cache; what is timed is the product
                products.append(clock.lap(lambda: matrix @ matrix)["whole"])
    stepped = _stepped(model, tokens, [frame.roll(step, -1) for step in range(frames + _WARM_UP)], clock)
    rows = rows[_WARM_UP:]
    whole = statistics.median(row["whole"] for row in rows)
    names = [name for name in rows[-1] if name != "whole"]
    stages = {name: statistics.median(row.get(name, 0.0) for row in rows) for name in names}
    stages["other"] = max(0.0, whole - sum(stages.values()))
    rate = 2 * _PRODUCT_SIDE**3 / statistics.median(products) / 1e9
    return BenchReport(
        seconds_per_frame=whole,
        frames_per_second=1.0 / whole,
        gflop_per_frame=cost.gflop_per_frame,
        parameters=cost.parameters,
        peak_rss_mib=peak_memory() / 2**20,
        product_gflops=rate,
        product_gflop_per_frame=whole * rate,
        stepper_seconds_per_frame=stepped,
        stages=stages,
    )


def _stepped(
    model: ColorAlignNet,
    references: EncodedReferences,
    frames: Sequence[Float[Tensor, "1 1 h w"]],
    clock: _Clock,
) -> float | None:
    """Median seconds per frame through fixed buffers, after a warm-up in which a GPU captures its graph."""
    try:
        stepper = Stepper(model, references)
    except ModelError:
        return None
    seconds = [clock.lap(partial(stepper, frame))["whole"] for frame in frames]
    return statistics.median(seconds[_WARM_UP:])


class _Clock:
    """Times calls, and within them the network's parts."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._row: dict[str, float] = {}

    def lap(self, call: Callable[[], object]) -> dict[str, float]:
        self._row = {}
        start = self._now()
        call()
        return {"whole": self._now() - start, **self._row}

    @contextmanager
    def watching(self, model: ColorAlignNet) -> Iterator[None]:
        """Put a stopwatch around the parts that a frame passes through."""
        parts: list[tuple[str, Any, str]] = [
            ("encoder", model.encoder, "forward"),
            ("attention", model.transfer, "forward"),
            ("reconstruction", model.reconstruction, "step"),
        ]
        if model.alignment is not None:
            parts.insert(2, ("alignment", model.alignment, "align"))
        for name, module, method in parts:
            setattr(module, method, self._timed(name, getattr(module, method)))
        try:
            yield
        finally:
            for _, module, method in parts:
                # The instance attribute hid the class's method, which comes back.
                delattr(module, method)

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            start = self._now()
            result = call(*args, **options)
            self._row[name] = self._row.get(name, 0.0) + self._now() - start
            return result

        return run

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
