"""How long colour lasts: PSNR by how long ago the reference was, and what the frames were mixed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ca_trainer.spans import SPANS, mean_or_none, psnr_by_span

__all__ = ["TRUE_PREVIOUS", "WARPED_TRUTH", "clip_figures", "mean_figures"]

Figures = Mapping[str, float | None]

TRUE_PREVIOUS, WARPED_TRUTH = "true_previous_", "warped_truth_"
"""How the figures begin that were measured with the true previous colours given: by the network, and by warping."""


def clip_figures(
    ages: Sequence[int], psnr: Sequence[float | None], more: Mapping[str, Sequence[float | None]]
) -> dict[str, float | None]:
    """What a clip's frames say beside the metrics.

    Args:
        ages: frames since the latest reference, one for each scored frame.
        psnr: of those frames, dB; None where infinite.
        more: further values of each of those frames, by name; those that end in ``psnr`` are split by span as well.

    Returns:
        ``psnr_1_8``, ``psnr_9_32`` and ``psnr_33``, and for each of `more` its mean and spans; absent where no frame
        is, None where a PSNR is infinite.

    Example:
        >>> clip_figures([1, 2], [30.0, 32.0], {"share_previous": [0.5, 0.25]})
        {'psnr_1_8': 31.0, 'share_previous': 0.375}
    """
    figures = {f"psnr_{span}": value for span, value in psnr_by_span(ages, psnr).items()}
    for name, values in more.items():
        figures[name] = mean_or_none(values)
        if name.endswith("psnr"):
            figures |= {f"{name}_{span}": value for span, value in psnr_by_span(ages, values).items()}
    return figures


def mean_figures(clips: Mapping[str, Figures]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Means over the clips that reach so far, and why those are missing that are.

    Args:
        clips: what ``clip_figures`` gave, by clip.

    Returns:
        Means by name, the three spans of ``psnr`` always among them, and for those that are None the reason.

    Example:
        >>> mean_figures({"long": {"psnr_1_8": 30.0, "psnr_9_32": 28.0}, "short": {"psnr_1_8": 32.0}})[0]
        {'psnr_1_8': 31.0, 'psnr_9_32': 28.0, 'psnr_33': None}
    """
    means: dict[str, float | None] = {}
    reasons = {}
    names = dict.fromkeys(
        [f"psnr_{span}" for span in SPANS] + [name for one in clips.values() for name in one]
    )
    for name in names:
        values = {clip: figures[name] for clip, figures in clips.items() if name in figures}
        means[name] = mean_or_none(list(values.values())) if values else None
        if not values:
            reasons[name] = "no clip has a frame so long after its reference"
        elif means[name] is None:
            reasons[name] = f"{next(clip for clip, value in values.items() if value is None)}: infinite"
    return means, reasons
