"""Checks and scales of frames for every metric: shape, range, and the two scales (0..255 in float64, and 8 bit)."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

Frames = Float[Tensor, "t c h w"] | UInt8[Tensor, "t c h w"]

# Lab -> RGB in float32 overshoots by rounding alone; a frame in 0..255 does by orders more.
_TOLERANCE = 1e-5


def check_frames(name: str, frames: Frames, channels: int | None = None) -> None:
    """Refuse anything but frames "t c h w", uint8 or float in [0, 1].

    Args:
        name: what the caller calls these frames.
        frames: "t c h w".
        channels: the c that the metric is defined for, or None for any.

    Raises:
        ValueError: name, what was expected, what was got, and the remedy.
    """
    expected = f"t {channels or 'c'} h w"
    if frames.ndim != 4 or (channels is not None and frames.shape[1] != channels):
        raise ValueError(
            f'{name}: expected frames "{expected}", got shape {tuple(frames.shape)}; '
            "put time first and channels second, as in frames.permute(0, 3, 1, 2)"
        )
    if frames.numel() == 0:
        raise ValueError(f'{name}: expected at least one frame "{expected}", got shape {tuple(frames.shape)}')
    if frames.dtype == torch.uint8:
        return
    if not frames.is_floating_point():
        raise ValueError(
            f"{name}: expected uint8 or float frames, got {frames.dtype}; convert with .to(torch.uint8)"
        )
    low, high = (float(v) for v in frames.detach().aminmax())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise ValueError(
            f"{name}: expected float frames in [0, 1], got [{low:g}, {high:g}]; "
            "divide 0..255 frames by 255, clamp what overshoots"
        )


def check_pair(pred: Frames, true: Frames, channels: int | None = None) -> None:
    """Refuse predicted and true frames that are not frames, differ in shape or lie on two devices.

    Args:
        pred: predicted frames "t c h w".
        true: true frames "t c h w".
        channels: the c that the metric is defined for, or None for any.

    Raises:
        ValueError: name, what was expected, what was got, and the remedy.
    """
    check_frames("pred", pred, channels)
    check_frames("true", true, channels)
    if pred.shape != true.shape:
        raise ValueError(
            f"pred and true: expected one shape, got {tuple(pred.shape)} and {tuple(true.shape)}; "
            "metrics neither crop nor resize"
        )
    if pred.device != true.device:
        raise ValueError(
            f"pred and true: expected one device, got {pred.device} and {true.device}; move one with .to"
        )


def scaled(frames: Frames) -> Float64[Tensor, "t c h w"]:
    """Frames on the scale 0..255 in float64, where unsigned bytes can no longer wrap around.

    Args:
        frames: "t c h w", uint8 or float in [0, 1].

    Returns:
        "t c h w" in [0, 255].
    """
    return frames.double() if frames.dtype == torch.uint8 else frames.double() * 255


def quantize(frames: Frames) -> UInt8[Tensor, "t c h w"]:
    """Frames as they would be written to 8-bit images: clip, then round.

    Args:
        frames: "t c h w", uint8 (returned as it is) or float in [0, 1].

    Returns:
        "t c h w" in 0..255.

    Example:
        >>> quantize(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)).flatten().tolist()
        [0, 128, 255]
    """
    if frames.dtype == torch.uint8:
        return frames
    return (
        frames.clamp(0, 1)
        .to(torch.promote_types(frames.dtype, torch.float32))
        .mul(255)
        .round()
        .to(torch.uint8)
    )


def frames_at_once(frames: Frames) -> int:
    """How many frames to work on together: one fills a processor's cache, an accelerator wants few launches.

    Args:
        frames: "t c h w", for their device.

    Returns:
        Frames per step, at least 1.
    """
    return 1 if frames.device.type == "cpu" else 16
