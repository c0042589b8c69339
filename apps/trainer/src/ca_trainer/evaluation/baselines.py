"""Baselines: four colourisers without a network, which a trained one has to beat.

Each takes the lightness of a clip frame by frame and the colour of its reference frames, and gives ab
frame by frame, in the units of CIE-Lab (L in [0, 100], ab about [-128, 127]). With several references each
frame uses the latest one at or before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ca_trainer.evaluation.motion import dis_flow

__all__ = ["BASELINES", "Baseline", "flow", "grey", "mean", "static"]

Baseline = Callable[[Iterable[Tensor], Mapping[int, Tensor]], Iterator[Tensor]]


def grey(
    lightness: Iterable[Float[Tensor, "1 h w"]], references: Mapping[int, Float[Tensor, "2 h w"]]
) -> Iterator[Float[Tensor, "2 h w"]]:
    """Grey baseline: no colour at all, ab = 0.

    Args:
        lightness: L of each frame, in [0, 100].
        references: true ab of the reference frames by frame number (unused).

    Yields:
        ab of each frame.

    Example:
        >>> [ab.abs().max().item() for ab in grey([torch.ones(1, 2, 3)], {})]
        [0.0]
    """
    del references
    for frame in lightness:
        yield frame.new_zeros(2, *frame.shape[-2:])


def mean(
    lightness: Iterable[Float[Tensor, "1 h w"]], references: Mapping[int, Float[Tensor, "2 h w"]]
) -> Iterator[Float[Tensor, "2 h w"]]:
    """Mean baseline: one tint for the whole frame, the mean ab of the reference.

    Args:
        lightness: L of each frame, in [0, 100].
        references: true ab of the reference frames by frame number; frame 0 must be among them.

    Yields:
        ab of each frame.

    Example:
        >>> next(mean([torch.ones(1, 1, 2)], {0: torch.tensor([[[1.0, 3.0]], [[0.0, 8.0]]])})).tolist()
        [[[2.0, 2.0]], [[4.0, 4.0]]]
    """
    for ab in static(lightness, references):
        yield ab.mean(dim=(-2, -1), keepdim=True).expand_as(ab)


def static(
    lightness: Iterable[Float[Tensor, "1 h w"]], references: Mapping[int, Float[Tensor, "2 h w"]]
) -> Iterator[Float[Tensor, "2 h w"]]:
    """Static baseline: the reference's ab, left where it is.

    Args:
        lightness: L of each frame, in [0, 100].
        references: true ab of the reference frames by frame number; frame 0 must be among them.

    Yields:
        ab of each frame.

    Example:
        >>> stills = {0: torch.zeros(2, 1, 1), 2: torch.ones(2, 1, 1)}
        >>> [int(ab.sum()) for ab in static([torch.ones(1, 1, 1)] * 4, stills)]
        [0, 0, 2, 2]
    """
    current: Tensor | None = None
    for index, _ in enumerate(lightness):
        current = references.get(index, current)
        yield _started(current)


def flow(
    lightness: Iterable[Float[Tensor, "1 h w"]], references: Mapping[int, Float[Tensor, "2 h w"]]
) -> Iterator[Float[Tensor, "2 h w"]]:
    """Flow baseline: the reference's ab warped from frame to frame along DIS optical flow (Kroeger et al. 2016).

    The flow runs from the current frame to the one before (see ``dis_flow``); ab(p) = ab_before(p + flow(p)),
    bilinear, border replicated. Errors add up along the chain, which starts anew at each reference.

    Args:
        lightness: L of each frame, in [0, 100].
        references: true ab of the reference frames by frame number; frame 0 must be among them.

    Yields:
        ab of each frame.

    Example:
        >>> still = torch.rand(2, 48, 64)
        >>> moved = list(flow([torch.full((1, 48, 64), 50.0)] * 2, {0: still}))
        >>> torch.equal(moved[0], still) and torch.allclose(moved[1], still)
        True
    """
    current: Tensor | None = None
    before: Tensor | None = None
    for index, frame in enumerate(lightness):
        if index in references:
            current = references[index]
        elif before is not None and current is not None:
            current = _warp(current, dis_flow(frame, before))
        before = frame
        yield _started(current)


def _warp(ab: Float[Tensor, "2 h w"], motion: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
    """Warp ab backward along a flow in pixels, (x, y)."""
    height, width = motion.shape[-2:]
    columns = motion[0].numpy() + np.arange(width, dtype=np.float32)
    rows = motion[1].numpy() + np.arange(height, dtype=np.float32)[:, None]
    image = ab.permute(1, 2, 0).cpu().numpy().astype(np.float32)
    warped = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(warped).permute(2, 0, 1).to(ab)


def _started(ab: Tensor | None) -> Tensor:
    if ab is None:
        raise ValueError("references: expected one at frame 0, got none; a baseline starts from its colour")
    return ab


BASELINES: Mapping[str, Baseline] = {"grey": grey, "mean": mean, "static": static, "flow": flow}
