"""Align one feature map to another: by deformable convolution (Eq. 2-4), or by optical flow (ablation 2)."""

from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ca_align.deform import DeformConv2d
from ca_align.flow import local_correlation, warp

FLOW_RADIUS = 4


class MotionEstimator(nn.Module):
    """Read the motion from a moving map to its target off both maps, and off the motion of the level below.

    ``motion = last(lrelu(conv([moving, target, clue]))) + conv1x1(below)`` (f of Eq. 2, h of Eq. 4).

    Departure: the paper has one convolution, whose output is a sum over both maps and so can never compare
    them; the hidden layer lets it. The convolution of a concatenation is written as a sum of convolutions, so
    that a target shared by several moving maps is convolved once. ``last`` starts from zero and ``below``
    from identity: at first a level repeats the motion handed to it.

    Args:
        channels: channels of both maps.
        motion_channels: channels returned.
        below_channels: channels of the motion of the level below, 0 where there is none.
        clue_channels: channels of a further map that tells about the motion, 0 without one.
    """

    def __init__(
        self, channels: int, motion_channels: int, *, below_channels: int = 0, clue_channels: int = 0
    ) -> None:
        super().__init__()
        self.moving = nn.Conv2d(channels, channels, 3, padding=1)
        self.target = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.clue = nn.Conv2d(clue_channels, channels, 3, padding=1, bias=False) if clue_channels else None
        self.last = nn.Conv2d(channels, motion_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        self.below = nn.Conv2d(below_channels, motion_channels, 1, bias=False) if below_channels else None
        if self.below is not None:
            nn.init.dirac_(self.below.weight)

    def forward(
        self,
        moving: Float[Tensor, "b_r c h w"],
        target: Float[Tensor, "b c h w"],
        below: Float[Tensor, "b_r p h w"] | None = None,
        clue: Float[Tensor, "b_r q h w"] | None = None,
    ) -> Float[Tensor, "b_r motion h w"]:
        """Motion of ``r`` moving maps to each target; the maps of one target follow one another."""
        hidden = self.moving(moving) + _for_each(self.target(target), moving)
        if self.clue is not None:
            hidden = hidden + self.clue(clue)
        motion = self.last(F.leaky_relu(hidden, 0.1))
        return motion if self.below is None else motion + self.below(below)


class DeformAlign(nn.Module):
    """Align a map to a target by a deformable convolution whose offsets come from both (Eq. 2, 3).

    ``aligned(p) = b + sum_n w(p_n) mask_n(p) moving(p + p_n + offset_n(p))``. Offsets start at zero and masks
    at one, so that the first output is a plain convolution of ``moving``.

    Args:
        channels: channels of both maps and of the output.
        offset_groups: groups of channels that move together; divides ``channels``.
        kernel_size: odd side of the deformable kernel.
        modulated: v2: each tap is also weighed by ``2 sigmoid`` of an estimate, in (0, 2).
        handed_up: ``align`` wants the offsets of the level below (Eq. 4).

    Raises:
        ValueError: the kernel is even, or ``offset_groups`` does not divide ``channels``.

    Example:
        >>> import torch
        >>> DeformAlign(16)(torch.rand(2, 16, 5, 7), torch.rand(2, 16, 5, 7)).shape
        torch.Size([2, 16, 5, 7])
    """

    def __init__(
        self,
        channels: int,
        *,
        offset_groups: int = 8,
        kernel_size: int = 3,
        modulated: bool = False,
        handed_up: bool = False,
    ) -> None:
        super().__init__()
        self.convolve = DeformConv2d(
            channels, channels, kernel_size, offset_groups=offset_groups, modulated=modulated
        )
        offsets, masks = self.convolve.offset_channels, self.convolve.mask_channels
        self.estimate = MotionEstimator(channels, offsets + masks, below_channels=offsets if handed_up else 0)

    def forward(
        self, moving: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        """Bring ``moving`` to where ``target`` is.

        Args:
            moving: features, any range.
            target: features on the same grid.

        Returns:
            Aligned features.

        Raises:
            ValueError: the two shapes differ.
        """
        if moving.shape != target.shape or moving.ndim != 4:
            raise ValueError(
                f"target: expected the shape of moving (b c h w), {tuple(moving.shape)}, "
                f"got {tuple(target.shape)}; bring both to one grid"
            )
        return self.align(moving, target)[0]

    def align(
        self,
        moving: Float[Tensor, "b_r c h w"],
        target: Float[Tensor, "b c h w"],
        below: Float[Tensor, "b_r offsets h w"] | None = None,
    ) -> tuple[Float[Tensor, "b_r c h w"], Float[Tensor, "b_r offsets h w"]]:
        """Aligned maps and their offsets in pixels, for ``r`` moving maps per target.

        Args:
            moving: maps to be aligned, those of a target side by side in the batch.
            target: what they are aligned to.
            below: offsets of the coarser level, brought to this one; None at the coarsest.

        Returns:
            The aligned maps and the offsets.
        """
        motion = self.estimate(moving, target, below)
        offset, logit = motion.split([self.convolve.offset_channels, self.convolve.mask_channels], dim=1)
        mask = 2 * logit.sigmoid() if self.convolve.mask_channels else None
        return self.convolve(moving, offset, mask), offset


class FlowAlign(nn.Module):
    """Align a map to a target by one flow vector per pixel, then convolve it (ablation 2).

    ``aligned = conv(warp(moving, flow))``: `DeformAlign` with one displacement for all taps and channels. The
    estimator also sees the local correlation of the target with the moving map, warped by the flow handed up.

    Args:
        channels: channels of both maps and of the output.
        kernel_size: odd side of the convolution.
        handed_up: ``align`` wants the flow of the level below.

    Raises:
        ValueError: the kernel is even.
    """

    def __init__(self, channels: int, *, kernel_size: int = 3, handed_up: bool = False) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}; take 1 or 3")
        self.convolve = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.estimate = MotionEstimator(
            channels, 2, below_channels=2 if handed_up else 0, clue_channels=(2 * FLOW_RADIUS + 1) ** 2
        )

    def align(
        self,
        moving: Float[Tensor, "b_r c h w"],
        target: Float[Tensor, "b c h w"],
        below: Float[Tensor, "b_r 2 h w"] | None = None,
    ) -> tuple[Float[Tensor, "b_r c h w"], Float[Tensor, "b_r 2 h w"]]:
        """Aligned maps and their flow in pixels (x, y), for ``r`` moving maps per target."""
        near = moving if below is None else warp(moving, below)
        unit = _for_each(F.normalize(target, dim=1), moving)
        # Times c: the cosine of both maps instead of its mean over the channels.
        clue = local_correlation(unit, F.normalize(near, dim=1), FLOW_RADIUS) * moving.shape[1]
        flow = self.estimate(near, target, below, clue)
        return self.convolve(warp(moving, flow)), flow


def _for_each(
    target: Float[Tensor, "b c h w"], moving: Float[Tensor, "b_r c h w"]
) -> Float[Tensor, "b_r c h w"]:
    """Repeat each target for the moving maps that belong to it."""
    return repeat(target, "b c h w -> (b r) c h w", r=moving.shape[0] // target.shape[0])
