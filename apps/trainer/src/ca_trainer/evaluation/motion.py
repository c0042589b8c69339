"""Optical flow between two lightness frames, by OpenCV's DIS (Kroeger et al. 2016, preset MEDIUM)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["dis_flow"]


def dis_flow(start: Float[Tensor, "1 h w"], end: Float[Tensor, "1 h w"]) -> Float[Tensor, "2 h w"]:
    """Optical flow from one frame to another, by DIS.

    The estimator sees 8 bits: L * 2.55, truncated (rounding moves single clips of the baseline by 0.05 dB).

    Args:
        start: L of the frame whose grid the flow is on, in [0, 100].
        end: L of the frame it points into, the same shape.

    Returns:
        Flow in pixels, (x, y): start(p) looks like end(p + flow(p)).

    Raises:
        ValueError: if the frames are smaller than 16 pixels in a direction, which OpenCV cannot do.

    Example:
        >>> import skimage.data
        >>> still = torch.from_numpy(skimage.data.camera()[None, 100:228, 100:260]) / 2.55
        >>> moved = still.roll(3, dims=-1)
        >>> dis_flow(moved, still)[0, 40:80, 40:80].mean().round().item()
        -3.0
    """
    height, width = start.shape[-2:]
    if min(height, width) < 16:
        raise ValueError(
            f"frames: expected at least 16x16 pixels for optical flow, got {width}x{height}; use larger"
        )
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(_quantized(start), _quantized(end), None)
    return torch.from_numpy(flow).permute(2, 0, 1)


def _quantized(lightness: Float[Tensor, "1 h w"]) -> np.ndarray:
    picture: np.ndarray = (lightness[0].cpu().numpy() * 2.55).clip(0, 255).astype(np.uint8)
    return picture
