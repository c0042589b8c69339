"""Carrying colour itself from one frame to the next."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ca_align.flow import estimate_flow, warp


class Propagated(NamedTuple):
    """The previous frame brought to the current one.

    Attributes:
        ab: its color, normalized Lab.
        residual: lightness of the current frame less that of the brought frame; large where the motion is wrong or
            something came into view.
    """

    ab: Float[Tensor, "b 2 h w"]
    residual: Float[Tensor, "b 1 h w"]


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
            flow = estimate_flow(lightness.float(), previous_lightness.float())
        moved = warp(torch.cat([previous_ab, previous_lightness], dim=1), flow)
        return Propagated(moved[:, :2], lightness - moved[:, 2:])


class StillPropagation(nn.Module):
    """Leave ab where it was: the alignment is left to what reads it (the alternative to `FlowPropagation`)."""

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        previous_lightness: Float[Tensor, "b 1 h w"],
        previous_ab: Float[Tensor, "b 2 h w"],
    ) -> Propagated:
        """The previous frame as it is; arguments as `FlowPropagation`."""
        return Propagated(previous_ab, lightness - previous_lightness)
