"""Carrying colour itself: from one frame to the next, and from a keyframe to all that follow it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ca_align.flow import box_mean, estimate_flow, refine_flow, warp

# Steps of the flow on each level of its pyramid. A third one at full size would gain 0.04 dB (PSNR of ab carried
# over 19 frames of four training clips) for a fifth more time; a second one in `KeyframeTracking` gains nothing.
FLOW_ITERATIONS = (3, 3, 3, 3, 2)
# Lightness error, network units, at which a step along the motion halves the trust in a track.
TRACK_TOLERANCE = 0.2


class Propagated(NamedTuple):
    """The previous frame brought to the current one.

    Attributes:
        ab: its color, normalized Lab.
        residual: lightness of the current frame less that of the brought frame; large where the motion is wrong or
            something came into view.
        flow: from the current frame to the previous one, pixels; zero where the motion was not followed.
    """

    ab: Float[Tensor, "b 2 h w"]
    residual: Float[Tensor, "b 1 h w"]
    flow: Float[Tensor, "b 2 h w"]


class Tracked(NamedTuple):
    """A keyframe brought to the current frame.

    Attributes:
        ab: its color, normalized Lab, sampled once however long ago it was.
        residual: lightness of the current frame less that of the brought keyframe.
        flow: from the current frame to the keyframe, pixels.
        trust: in [0, 1]; how well every step of a pixel's track explained the lightness, 0 once it left the picture.
    """

    ab: Float[Tensor, "b 2 h w"]
    residual: Float[Tensor, "b 1 h w"]
    flow: Float[Tensor, "b 2 h w"]
    trust: Float[Tensor, "b 1 h w"]


class FlowPropagation(nn.Module):
    """Carry ab along the optical flow of the lightness (`estimate_flow`; nothing is learnt).

    Example:
        >>> frame, ab = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48)
        >>> carried = FlowPropagation()(frame, frame, ab)
        >>> torch.allclose(carried.ab, ab, atol=1e-3)
        True
    """

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        previous_lightness: Float[Tensor, "b 1 h w"],
        previous_ab: Float[Tensor, "b 2 h w"],
    ) -> Propagated:
        """Bring the previous frame to the current one.

        Args:
            lightness: of the current frame, network units.
            previous_lightness, previous_ab: the previous frame. Gradients flow through its ab, not through the flow.

        Raises:
            ValueError: if the lightness maps differ in shape.
        """
        with torch.no_grad():
            flow = estimate_flow(lightness.float(), previous_lightness.float(), iterations=FLOW_ITERATIONS)
        moved = warp(torch.cat([previous_ab, previous_lightness], dim=1), flow)
        return Propagated(moved[:, :2], lightness - moved[:, 2:], flow)


class KeyframeTracking(nn.Module):
    """Follow every pixel back to a keyframe, and take its color from there.

    Color carried from frame to frame is sampled anew at each step and fades; here it is the *position* that is
    carried: `flow_t(p) = f_t(p) + flow_{t-1}(p + f_t(p))`, sharpened against the keyframe's own lightness
    (`refine_flow`), and the color is sampled once. Nothing is learnt.

    Args:
        iterations: of the sharpening.

    Example:
        >>> frame, ab = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48)
        >>> step = FlowPropagation()(frame, frame, ab)
        >>> tracked = KeyframeTracking()(
        ...     frame, step.flow, step.residual, frame, ab, torch.zeros(1, 2, 32, 48), torch.ones(1, 1, 32, 48)
        ... )
        >>> torch.allclose(tracked.ab, ab, atol=1e-3)
        True
    """

    def __init__(self, *, iterations: int = 1) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        step_flow: Float[Tensor, "b 2 h w"],
        step_residual: Float[Tensor, "b 1 h w"],
        key_lightness: Float[Tensor, "b 1 h w"],
        key_ab: Float[Tensor, "b 2 h w"],
        flow: Float[Tensor, "b 2 h w"],
        trust: Float[Tensor, "b 1 h w"],
    ) -> Tracked:
        """Bring the keyframe to the current frame.

        Args:
            lightness: of the current frame, network units.
            step_flow, step_residual: from the current frame to the previous one, as `FlowPropagation` found them.
            key_lightness, key_ab: the keyframe. Gradients flow through its ab, not through the flow.
            flow, trust: from the previous frame to the keyframe, as they came out there.

        Raises:
            ValueError: if the lightness maps differ in shape.
        """
        with torch.no_grad():
            moved = warp(torch.cat([flow, trust], dim=1), step_flow)
            flow = refine_flow(
                step_flow + moved[:, :2], lightness.float(), key_lightness.float(), iterations=self.iterations
            )
            step_error = box_mean(step_residual.float().square(), 3) / TRACK_TOLERANCE**2
            trust = moved[:, 2:] / (1 + step_error) * _inside(flow)
        found = warp(torch.cat([key_ab, key_lightness], dim=1), flow)
        return Tracked(found[:, :2], lightness - found[:, 2:], flow, trust)


def _inside(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """1 where the flow points into the picture, else 0."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, dtype=flow.dtype, device=flow.device) + flow[:, :1]
    y = torch.arange(h, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1:]
    return ((x >= -0.5) & (x <= w - 0.5) & (y >= -0.5) & (y <= h - 0.5)).to(flow.dtype)


class StillPropagation(nn.Module):
    """Leave ab where it was: the alignment is left to what reads it (the alternative to `FlowPropagation`)."""

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        previous_lightness: Float[Tensor, "b 1 h w"],
        previous_ab: Float[Tensor, "b 2 h w"],
    ) -> Propagated:
        """The previous frame as it is; arguments as `FlowPropagation`."""
        still = torch.zeros_like(lightness).repeat(1, 2, 1, 1)
        return Propagated(previous_ab, lightness - previous_lightness, still)
