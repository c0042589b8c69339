"""Structural similarity."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_pair, frames_at_once, scaled

# Wang et al. 2004: sigma 1.5 cut at 3.5 sigma gives 11 taps; constants (0.01 L)^2 and (0.03 L)^2 with L =
# 255.
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
WINDOW = 2 * _RADIUS + 1


def ssim(pred: Frames, true: Frames) -> Float64[Tensor, "t"]:
    """Structural similarity of every frame, Gaussian window, mean over channels (Wang et al. 2004, Eq. 13).

    `SSIM = (2 ux uy + C1)(2 vxy + C2) / ((ux^2 + uy^2 + C1)(vx + vy + C2))` with Gaussian-weighted (sigma
    1.5, 11 x 11) means u, variances v (no sample covariance), averaged over the pixels whose window lies in
    the frame. Equals scikit-image's `structural_similarity(..., gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)`. torchmetrics does not (it averages over a reflected border
    too), hence our own.

    Args:
        pred: predicted frames "t c h w", uint8 or float in [0, 1]; at least 11 x 11.
        true: true frames, the same shape.

    Returns:
        "t" in [-1, 1].

    Raises:
        ValueError: the frames are not frames, are smaller than the window, or differ in shape or device.

    Example:
        >>> frames = torch.rand(2, 3, 13, 17)
        >>> ssim(frames, frames).tolist()
        [1.0, 1.0]
    """
    check_pair(pred, true)
    if min(pred.shape[-2:]) < WINDOW:
        raise ValueError(
            f"pred: expected frames of at least {WINDOW} x {WINDOW} pixels (the Gaussian window), got "
            f"{pred.shape[-1]} x {pred.shape[-2]}; SSIM is not defined for them"
        )
    step = frames_at_once(pred)
    pairs = zip(pred.split(step), true.split(step), strict=True)
    return torch.cat([_similarity(scaled(p), scaled(t)).mean((1, 2, 3)) for p, t in pairs])


def _similarity(x: Float64[Tensor, "t c h w"], y: Float64[Tensor, "t c h w"]) -> Float64[Tensor, "t c h' w'"]:
    ux, uy, uxx, uyy, uxy = _blur(torch.stack([x, y, x * x, y * y, x * y])).unbind()
    vx, vy, vxy = uxx - ux * ux, uyy - uy * uy, uxy - ux * uy
    return (2 * ux * uy + _C1) * (2 * vxy + _C2) / ((ux * ux + uy * uy + _C1) * (vx + vy + _C2))


def _blur(x: Float64[Tensor, "*n h w"]) -> Float64[Tensor, "*n h' w'"]:
    # Eleven shifted additions an axis: on a processor ten times as fast as conv2d with one float64 channel.
    weights = [math.exp(-0.5 * (i / _SIGMA) ** 2) for i in range(-_RADIUS, _RADIUS + 1)]
    for axis in (-2, -1):
        length = x.shape[axis] - WINDOW + 1
        out = x.narrow(axis, 0, length) * (weights[0] / sum(weights))
        for i in range(1, WINDOW):
            out = out.add_(x.narrow(axis, i, length), alpha=weights[i] / sum(weights))
        x = out
    return x


class SSIM(ClipMean):
    """`ssim`, averaged over frames and then over clips.

    Example:
        >>> metric = SSIM()
        >>> metric.update(torch.ones(2, 3, 13, 17), torch.ones(2, 3, 13, 17))
        >>> metric.compute()
        1.0
    """

    def update(self, pred: Frames, true: Frames) -> None:
        """Add frames to the open clip.

        Args:
            pred: predicted frames "t c h w", uint8 or float in [0, 1]; at least 11 x 11.
            true: true frames, the same shape.

        Raises:
            ValueError: if shapes differ or frames are too small.
        """
        self._add(ssim(pred, true))
