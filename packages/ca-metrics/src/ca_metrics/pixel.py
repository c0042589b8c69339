"""Peak signal-to-noise ratio."""

import torch
from jaxtyping import Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_pair, frames_at_once, scaled


def psnr(pred: Frames, true: Frames) -> Float64[Tensor, "t"]:
    """Peak signal-to-noise ratio of every frame.

    `PSNR = 10 log10(255^2 / MSE)`, the mean over channels and pixels, in float64: bytes are widened before
    they are subtracted, so nothing wraps around. Equals scikit-image's `peak_signal_noise_ratio(true, pred,
    data_range=255)`. Float frames are compared as they are; `quantize` them first for the number of the 8-bit
    images.

    Args:
        pred: predicted frames "t c h w", uint8 or float in [0, 1].
        true: true frames, the same shape.

    Returns:
        "t" in dB; infinite where the frames are identical.

    Raises:
        ValueError: the frames are not frames, or differ in shape or device.

    Example:
        >>> psnr(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), torch.zeros(1, 3, 2, 2)).tolist()
        [0.0]
    """
    check_pair(pred, true)
    step = frames_at_once(pred)
    pairs = zip(pred.split(step), true.split(step), strict=True)
    errors = torch.cat([(scaled(p) - scaled(t)).square().mean((1, 2, 3)) for p, t in pairs])
    return 10 * torch.log10(255**2 / errors)


class PSNR(ClipMean):
    """`psnr`, averaged over frames and then over clips.

    Example:
        >>> metric = PSNR()
        >>> metric.update(torch.full((2, 3, 4, 4), 0.1), torch.zeros(2, 3, 4, 4))
        >>> round(metric.compute(), 4)
        20.0
    """

    def update(self, pred: Frames, true: Frames) -> None:
        """Add frames to the open clip.

        Args:
            pred: predicted frames "t c h w", uint8 or float in [0, 1].
            true: true frames, the same shape.
        """
        self._add(psnr(pred, true))
