"""All metrics of one clip, of a clip in pieces, and the mean over clips."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ca_metrics.color import colorfulness
from ca_metrics.distribution import CDC, DISTANCES
from ca_metrics.frames import Frames, check_pair, quantize
from ca_metrics.perceptual import SMALLEST, lpips
from ca_metrics.pixel import psnr
from ca_metrics.structural import WINDOW, ssim
from ca_metrics.temporal import visibility_mask, warping_error

METRICS = (
    "psnr",
    "ssim",
    "lpips",
    "cdc",
    "cdc_truth",
    "cdc_distance",
    "colorfulness",
    "colorfulness_truth",
    "warping_error",
    "warping_error_truth",
)


@dataclass(frozen=True, kw_only=True)
class ClipScores:
    """The metrics of a clip, or their mean over clips; a missing one is None and says why in `notes`.

    Attributes:
        frames: frames of the clip.
        scored_frames: frames that psnr, ssim, lpips and colorfulness are averaged over (one fewer with
            skip_first).
        psnr, ssim, lpips: against the true frames, mean over the scored frames; psnr in dB.
        cdc, colorfulness, warping_error: of the predicted clip.
        cdc_truth, colorfulness_truth, warping_error_truth: of the true one.
        cdc_distance: |cdc - cdc_truth|.
        notes: for every missing metric, the reason.
        per_frame: psnr, ssim, lpips, colorfulness and colorfulness_truth of each scored frame; None where
            infinite.
    """

    frames: int
    scored_frames: int
    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    cdc: float | None = None
    cdc_truth: float | None = None
    cdc_distance: float | None = None
    colorfulness: float | None = None
    colorfulness_truth: float | None = None
    warping_error: float | None = None
    warping_error_truth: float | None = None
    notes: dict[str, str] = field(default_factory=dict)
    per_frame: dict[str, list[float | None]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: no infinity, no NaN."""
        return asdict(self)


class ClipScorer:
    """Scores one clip that comes in pieces, in bounded memory; frames count as 8-bit images (clip, round).

    Args:
        skip_first: frame 0 is the reference ("first-frame" protocol): only CDC, which judges the whole clip,
            counts it.
        lpips: what `load_lpips` returned, or None for no LPIPS.

    Example:
        >>> import torch
        >>> scorer = ClipScorer(skip_first=True)
        >>> clip = torch.rand(6, 3, 16, 16)
        >>> for piece in clip.split(4):
        ...     scorer.update(piece, piece)
        >>> scorer.scores().ssim
        1.0
    """

    def __init__(self, *, skip_first: bool = False, lpips: nn.Module | None = None) -> None:
        self._skip_first = skip_first
        self._network = lpips
        self._frames = 0
        self._cdc = {"cdc": CDC(), "cdc_truth": CDC()}
        self._values: dict[str, list[float]] = {"psnr": []}
        self._notes: dict[str, str] = {}

    def update(self, pred: Frames, true: Frames) -> None:
        """Add the next frames of the clip.

        Args:
            pred: predicted RGB frames "t 3 h w", uint8 or float in [0, 1].
            true: true frames, the same shape.

        Raises:
            ValueError: the frames are not RGB frames, or differ in shape or device.
        """
        check_pair(pred, true, channels=3)
        pred, true = quantize(pred.detach()), quantize(true.detach())
        self._cdc["cdc"].update(pred)
        self._cdc["cdc_truth"].update(true)
        skipped = int(self._skip_first and self._frames == 0)
        self._frames += len(pred)
        pred, true = pred[skipped:], true[skipped:]
        if len(pred) > 0:
            self._score_frames(pred, true)

    def _score_frames(self, pred: Frames, true: Frames) -> None:
        values = {"psnr": psnr(pred, true)}
        smaller = min(pred.shape[-2:])
        if smaller >= WINDOW:
            values["ssim"] = ssim(pred, true)
        else:
            self._notes["ssim"] = f"needs frames of at least {WINDOW} x {WINDOW} pixels"
        if self._network is None:
            self._notes["lpips"] = "no LPIPS network was given; see ca_metrics.load_lpips"
        elif smaller < SMALLEST:
            self._notes["lpips"] = f"needs frames of at least {SMALLEST} x {SMALLEST} pixels"
        else:
            values["lpips"] = lpips(pred, true, self._network)
        values["colorfulness"], values["colorfulness_truth"] = colorfulness(pred), colorfulness(true)
        for name, value in values.items():
            self._values.setdefault(name, []).extend(value.tolist())

    def scores(self) -> ClipScores:
        """The metrics of all frames so far; warping errors, which need optical flow, come with `score_clip`.

        Raises:
            ValueError: no frame to score has been given.
        """
        scored = len(self._values["psnr"])
        if scored == 0:
            raise ValueError(
                f"clip: expected a frame to score, got {self._frames} frames with "
                f"skip_first={self._skip_first}; skip_first needs at least two"
            )
        notes = dict(self._notes)
        values: dict[str, Any] = {name: sum(v) / scored for name, v in self._values.items()}
        if math.isinf(values["psnr"]):
            same = sum(math.isinf(v) for v in self._values["psnr"])
            values["psnr"] = None
            notes["psnr"] = f"infinite: {same} of {scored} frames equal the truth"
        if self._frames > max(DISTANCES):
            values |= {name: metric.compute() for name, metric in self._cdc.items()}
            values["cdc_distance"] = abs(values["cdc"] - values["cdc_truth"])
        else:
            notes |= dict.fromkeys(
                ("cdc", "cdc_truth", "cdc_distance"), f"needs more than {max(DISTANCES)} frames"
            )
        notes |= dict.fromkeys(
            ("warping_error", "warping_error_truth"), "needs optical flow; see ca_metrics.score_clip"
        )
        per_frame = {
            name: [v if math.isfinite(v) else None for v in rows] for name, rows in self._values.items()
        }
        return ClipScores(
            frames=self._frames, scored_frames=scored, notes=notes, per_frame=per_frame, **values
        )


def score_clip(
    pred: Frames,
    true: Frames,
    *,
    skip_first: bool = False,
    lpips: nn.Module | None = None,
    flows: tuple[Float[Tensor, "t-1 2 h w"], Float[Tensor, "t-1 2 h w"]] | None = None,
) -> ClipScores:
    """Every metric of one clip, on the frames' device, as 8-bit images (clip, round).

    Args:
        pred: predicted RGB frames "t 3 h w", uint8 or float in [0, 1].
        true: true frames, the same shape.
        skip_first: frame 0 is the reference ("first-frame" protocol): psnr, ssim, lpips and colorfulness
            leave it out; CDC and the warping error judge the whole clip.
        lpips: what `load_lpips` returned, or None for no LPIPS.
        flows: (forward, backward) optical flow of the true film, as `visibility_mask` takes them, or None for
            no warping error.

    Returns:
        The scores, with None and a note for what is missing.

    Raises:
        ValueError: the frames are not RGB frames, differ in shape or device, or there is none to score; flows
            do not fit.

    Example:
        >>> import torch
        >>> clip = torch.rand(6, 3, 16, 16)
        >>> scores = score_clip(clip, 1 - clip)
        >>> scores.lpips, scores.notes["lpips"]
        (None, 'no LPIPS network was given; see ca_metrics.load_lpips')
    """
    check_pair(pred, true, channels=3)
    scorer = ClipScorer(skip_first=skip_first, lpips=lpips)
    scorer.update(pred, true)
    scores = scorer.scores()
    if flows is None:
        return scores
    visible = visibility_mask(*flows)
    errors = [
        float(warping_error(quantize(frames.detach()), flows[0], visible).mean()) for frames in (pred, true)
    ]
    notes = {name: reason for name, reason in scores.notes.items() if not name.startswith("warping_error")}
    return ClipScores(
        **vars(scores) | {"notes": notes, "warping_error": errors[0], "warping_error_truth": errors[1]}
    )


def mean_scores(clips: Mapping[str, ClipScores]) -> ClipScores:
    """The mean over clips; what one clip misses, the mean misses too.

    CDC is a mean over clips, so cdc_distance is |cdc - cdc_truth| of the two means, and not the mean of the
    clips' distances.

    Args:
        clips: scores by the clip's name, at least one.

    Returns:
        Means, total frames, notes; per_frame stays empty.

    Raises:
        ValueError: no clip.

    Example:
        >>> a = ClipScores(frames=3, scored_frames=2, psnr=20.0)
        >>> b = ClipScores(frames=9, scored_frames=8, psnr=30.0)
        >>> mean_scores({"a": a, "b": b}).psnr
        25.0
    """
    if not clips:
        raise ValueError("clips: expected at least one scored clip, got none")
    means: dict[str, Any] = {}
    notes = {}
    for name in METRICS:
        values = {clip: getattr(scores, name) for clip, scores in clips.items()}
        missing = [clip for clip, value in values.items() if value is None]
        means[name] = None if missing else sum(values.values()) / len(values)
        if missing:
            reason = clips[missing[0]].notes.get(name, "missing")
            notes[name] = reason if len(missing) == len(clips) else f"{missing[0]}: {reason}"
    if means["cdc"] is not None and means["cdc_truth"] is not None:
        means["cdc_distance"] = abs(means["cdc"] - means["cdc_truth"])
    return ClipScores(
        frames=sum(scores.frames for scores in clips.values()),
        scored_frames=sum(scores.scored_frames for scores in clips.values()),
        notes=notes,
        **means,
    )
