"""Warping error: temporal stability along optical flow, where nothing is occluded."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_frames, scaled


def visibility_mask(
    forward: Float[Tensor, "n 2 h w"], backward: Float[Tensor, "n 2 h w"]
) -> Bool[Tensor, "n 1 h w"]:
    """Where a pixel of frame i is still seen in frame i + 1: forward-backward check and motion boundaries.

    Ruder et al. 2016 (disocclusion and motion boundaries), in the order that Lai et al. 2018 use them. With f
    the forward flow and g the backward flow brought to frame i's grid by f, a pixel is occluded where `|f +
    g|^2 > 0.01 (|f|^2 + |g|^2) + 0.5`, on a motion boundary where `|grad u|^2 + |grad v|^2 > 0.01 |f|^2 +
    0.002` (f = (u, v), forward differences). We also leave out what f carries out of the frame: there is
    nothing there to compare with.

    Args:
        forward: flow from frame i to frame i + 1 on the grid of frame i, (x, y), in pixels.
        backward: flow from frame i + 1 back to frame i on the grid of frame i + 1, (x, y), in pixels.

    Returns:
        "n 1 h w", True where visible.

    Raises:
        ValueError: the flows are not flows of one shape.

    Example:
        >>> still = torch.zeros(1, 2, 3, 5)
        >>> bool(visibility_mask(still, still).all())
        True
    """
    _check_flow("forward", forward)
    _check_flow("backward", backward)
    if forward.shape != backward.shape:
        raise ValueError(
            f"forward and backward: expected one shape, got {tuple(forward.shape)} and "
            f"{tuple(backward.shape)}; both have one flow for every pair of frames"
        )
    f = forward.double()
    g, inside = _warp(backward.double(), f)
    f_squared, g_squared = (v.square().sum(1, keepdim=True) for v in (f, g))
    occluded = (f + g).square().sum(1, keepdim=True) > 0.01 * (f_squared + g_squared) + 0.5
    across = F.pad(f.diff(dim=-1), (0, 1)).square().sum(1, keepdim=True)
    down = F.pad(f.diff(dim=-2), (0, 0, 0, 1)).square().sum(1, keepdim=True)
    boundary = across + down > 0.01 * f_squared + 0.002
    return inside & ~occluded & ~boundary


def warping_error(
    frames: Frames, flow: Float[Tensor, "t-1 2 h w"], visible: Bool[Tensor, "t-1 1 h w"]
) -> Float64[Tensor, "t-1"]:
    """Warping error of every pair of neighbouring frames (Lai et al. 2018, E_warp).

    `E_i = sum_p M(p) |V_i(p) - V_{i+1}(p + flow(p))|^2 / sum_p M(p)` on frames in [0, 1], the square meant
    over channels as in the authors' script, bilinear sampling. Like there, a pair with no visible pixel
    counts 0. Take the flow from the true (or grey) film, never from the prediction, and read the truth's own
    error beside it: even truth does not score 0.

    Args:
        frames: "t c h w", uint8 or float in [0, 1], at least two.
        flow: flow from frame i to frame i + 1 on the grid of frame i, (x, y), in pixels.
        visible: "t-1 1 h w", the pixels that count; see `visibility_mask`.

    Returns:
        "t-1"; mean squared difference in [0, 1].

    Raises:
        ValueError: the frames are not frames, or flow or mask do not fit them.

    Example:
        >>> clip = torch.rand(1, 3, 4, 6).expand(3, 3, 4, 6)
        >>> warping_error(clip, torch.zeros(2, 2, 4, 6), torch.ones(2, 1, 4, 6, dtype=torch.bool)).tolist()
        [0.0, 0.0]
    """
    check_frames("frames", frames)
    _check_flow("flow", flow)
    t, _, h, w = frames.shape
    if t < 2 or flow.shape != (t - 1, 2, h, w):
        raise ValueError(
            f"flow: expected at least two frames and one flow per pair, here {(max(t - 1, 1), 2, h, w)}, "
            f"got {tuple(flow.shape)} for {t} frames"
        )
    if visible.shape != (t - 1, 1, h, w):
        raise ValueError(
            f"visible: expected shape {(t - 1, 1, h, w)}, got {tuple(visible.shape)}; see visibility_mask"
        )
    errors = [_pair_error(frames[i : i + 2], flow[i : i + 1], visible[i : i + 1]) for i in range(t - 1)]
    return torch.stack(errors)


def _pair_error(
    pair: Float[Tensor, "2 c h w"], flow: Float[Tensor, "1 2 h w"], visible: Bool[Tensor, "1 1 h w"]
) -> Float64[Tensor, ""]:
    current, following = (scaled(pair) / 255).split(1)
    warped, _ = _warp(following, flow.double())
    squares = (current - warped).square().mean(1, keepdim=True)
    return (squares * visible).sum() / visible.sum().clamp(min=1)


def _check_flow(name: str, flow: Float[Tensor, "n 2 h w"]) -> None:
    if flow.ndim != 4 or flow.shape[1] != 2 or not flow.is_floating_point():
        raise ValueError(
            f'{name}: expected a float flow "n 2 h w" in pixels, got {flow.dtype} {tuple(flow.shape)}; '
            "OpenCV's h w 2 flows need permute(2, 0, 1)"
        )


def _warp(
    x: Float64[Tensor, "n c h w"], flow: Float64[Tensor, "n 2 h w"]
) -> tuple[Float64[Tensor, "n c h w"], Bool[Tensor, "n 1 h w"]]:
    """x(p + flow(p)) by bilinear sampling, and whether p + flow(p) lies in the frame."""
    h, w = x.shape[-2:]
    rows = torch.arange(h, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    columns = torch.arange(w, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    inside = (rows >= 0) & (rows <= h - 1) & (columns >= 0) & (columns <= w - 1)
    # max(.., 1): a frame one pixel wide has no scale, and its only column is -1 whatever we divide by.
    grid = torch.stack([2 * columns / max(w - 1, 1) - 1, 2 * rows / max(h - 1, 1) - 1], dim=-1)
    warped = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return warped, inside[:, None]


class WarpingError(ClipMean):
    """`warping_error`, averaged over pairs of frames and then over clips.

    Example:
        >>> metric = WarpingError()
        >>> flow, visible = torch.zeros(1, 2, 4, 6), torch.ones(1, 1, 4, 6, dtype=torch.bool)
        >>> metric.update(torch.stack([torch.zeros(3, 4, 6), torch.full((3, 4, 6), 0.1)]), flow, visible)
        >>> round(metric.compute(), 6)
        0.01
    """

    def update(
        self, frames: Frames, flow: Float[Tensor, "t-1 2 h w"], visible: Bool[Tensor, "t-1 1 h w"]
    ) -> None:
        """Add the pairs of these frames to the open clip; pieces of one clip overlap by one frame.

        Args:
            frames: "t c h w", uint8 or float in [0, 1], at least two.
            flow: flow from frame i to frame i + 1 on the grid of frame i, (x, y), in pixels.
            visible: "t-1 1 h w", the pixels that count.

        Raises:
            ValueError: the frames are not frames, or flow or mask do not fit them.
        """
        self._add(warping_error(frames, flow, visible))
