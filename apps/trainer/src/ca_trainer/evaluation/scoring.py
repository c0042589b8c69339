"""Scoring one clip frame by frame, as it is coloured: nothing longer than a few frames is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import ca_metrics
import torch
from ca_data import rgb_to_lab
from jaxtyping import UInt8
from torch import Tensor, nn

from ca_trainer.evaluation.motion import dis_flow

__all__ = ["ProtocolScorer"]


class ProtocolScorer:
    """The measures of one clip under a protocol.

    PSNR, SSIM, LPIPS and colorfulness are means over the scored frames; CDC and the warping error look at the
    whole clip, with the reference frames standing in it as they were given. The flow of the warping error is
    DIS on the true L, in both directions.

    Args:
        scored: numbers of the scored frames.
        lpips: what ``ca_metrics.load_lpips`` returned, or None where its weights are missing.

    Example:
        >>> frames = torch.randint(256, (6, 3, 24, 32), dtype=torch.uint8)
        >>> scorer = ProtocolScorer(range(1, 6))
        >>> for number, frame in enumerate(frames):
        ...     scorer.add(number, frame.flip(0), frame)
        >>> scores = scorer.scores()
        >>> scores.scored_frames, scores.lpips, len(scores.per_frame["psnr"])
        (5, None, 5)
    """

    def __init__(self, scored: Iterable[int], lpips: nn.Module | None = None) -> None:
        self._scored = frozenset(scored)
        self._each = ca_metrics.ClipScorer(lpips=lpips)
        self._cdc = ca_metrics.CDC(), ca_metrics.CDC()
        self._warping = ca_metrics.WarpingError(), ca_metrics.WarpingError()
        self._before: tuple[Tensor, Tensor] | None = None
        self._count = 0

    def add(self, number: int, output: UInt8[Tensor, "3 h w"], truth: UInt8[Tensor, "3 h w"]) -> None:
        """Score the next frame.

        Args:
            number: its number; frames come in order.
            output: sRGB of the system; for a reference frame the truth, which it was given, stands instead.
            truth: true sRGB.
        """
        if number in self._scored:
            self._each.update(output[None], truth[None])
        else:
            output = truth
        for meter, frame in zip(self._cdc, (output, truth), strict=True):
            meter.update(frame[None])
        if self._before is not None:
            self._follow(self._before, (output, truth))
        self._before = (output, truth)
        self._count += 1

    def scores(self) -> ca_metrics.ClipScores:
        """The measures of the frames so far, with a note for every missing one."""
        scores = self._each.scores()
        notes = {key: note for key, note in scores.notes.items() if not key.startswith(("cdc", "warping"))}
        cdc = cdc_truth = distance = None
        try:
            cdc, cdc_truth = (meter.compute() for meter in self._cdc)
            distance = abs(cdc - cdc_truth)
        except ValueError as too_short:
            notes |= dict.fromkeys(("cdc", "cdc_truth", "cdc_distance"), str(too_short))
        warping, warping_truth = (meter.compute() for meter in self._warping)
        return replace(
            scores,
            frames=self._count,
            cdc=cdc,
            cdc_truth=cdc_truth,
            cdc_distance=distance,
            warping_error=warping,
            warping_error_truth=warping_truth,
            notes=notes,
        )

    def _follow(self, before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> None:
        lightness = [rgb_to_lab(truth)[:1] for _, truth in (before, now)]
        forward, backward = dis_flow(*lightness)[None], dis_flow(*reversed(lightness))[None]
        visible = ca_metrics.visibility_mask(forward, backward)
        for meter, first, second in zip(self._warping, before, now, strict=True):
            meter.update(torch.stack([first, second]), forward, visible)
