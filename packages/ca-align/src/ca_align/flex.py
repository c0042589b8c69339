"""FlexAlign: neighbours aligned to a frame over a pyramid, then fused with it (Eq. 2-5, N4-N7)."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ca_align.align import DeformAlign, FlowAlign

LEVELS = 3
ALIGNMENTS = ("deform", "flow")


class PyramidLevel(nn.Module):
    """One level: align (Eq. 3, 4), then join what the level below made of the same neighbour (Eq. 5).

    Args:
        aligner: D and the offsets it needs.
        merge: g, or None on level 1, which has nothing to join.
    """

    def __init__(self, aligner: DeformAlign | FlowAlign, merge: nn.Conv2d | None) -> None:
        super().__init__()
        self.aligner = aligner
        self.merge = merge

    def forward(
        self,
        moving: Float[Tensor, "b_i c h w"],
        target: Float[Tensor, "b c h w"],
        motion: Float[Tensor, "b_i p _h _w"] | None,
        output: Float[Tensor, "b_i c _h _w"] | None,
    ) -> tuple[Float[Tensor, "b_i c h w"], Float[Tensor, "b_i p h w"]]:
        """This level's output and offsets from those of the level below (None: nothing is handed up)."""
        # Offsets are in pixels of their own level: twice the pixels, twice the offset.
        below = None if motion is None else 2 * _upsample(motion)
        aligned, motion = self.aligner.align(moving, target, below)
        if self.merge is None:
            return aligned, motion
        parts = [aligned] if output is None else [aligned, _upsample(output)]
        return self.merge(torch.cat(parts, dim=1)), motion


class FlexAlign(nn.Module):
    """Bring features of 2k neighbours to a frame, and up to four times its rows and columns, and fuse them.

    For each neighbour i, on level 1 (H/16), with bilinear x2 upsampling to levels 2 and 3 (H/8, H/4; N4):

    - offsets ``f([F_{t+i}, F_t])`` (Eq. 2), above level 1 ``h([F_{t+i}, F_t], 2 up(offsets below))``
      (Eq. 4, N5; f and h are `MotionEstimator`);
    - output ``D(F_{t+i}, offsets)`` (Eq. 3), above level 1 ``g([D(F_{t+i}, offsets), up(output below)])``
      (Eq. 5);
    - after level 3 one more deformable convolution refines the output against ``F_t``: ``F^f_{t+i}`` (N6).

    ``F^f = conv([F^f_{t-k}, ..., F^f_{t+k}, F_t])`` (N6; the paper does not say). With ``neighbors=0`` the
    module only projects ``F_t`` up.

    Args:
        channels: channels of the features.
        out_channels: channels of the fused features; ``channels`` if None.
        neighbors: k, frames taken on either side.
        offset_groups: groups of channels that move together; divides ``channels``.
        kernel_size: odd side of the aligning kernels.
        modulated: deformable convolution v2; the paper has v1 (N7).
        prior: False is ablation 1: level 3 works from its own features only. As nothing is then handed up,
            levels 1 and 2 would reach no output and are not built.
        alignment: ``"deform"``, or ``"flow"``: ablation 2, where each deformable convolution becomes a warp
            by one flow vector per pixel and a plain convolution (which has no use for ``offset_groups``, and is
            refused with ``modulated``).

    Raises:
        ValueError: ``neighbors`` is negative, ``alignment`` unknown, ``modulated`` given to ``"flow"``,
            ``kernel_size`` even, or ``offset_groups`` does not divide ``channels``.

    Example:
        >>> FlexAlign(16, out_channels=8, neighbors=1)(torch.rand(1, 5, 16, 3, 4)).shape
        torch.Size([1, 5, 8, 12, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        neighbors: int = 2,
        offset_groups: int = 8,
        kernel_size: int = 3,
        modulated: bool = False,
        prior: bool = True,
        alignment: str = "deform",
    ) -> None:
        super().__init__()
        if neighbors < 0:
            raise ValueError(f"neighbors: expected 0 or more frames on either side, got {neighbors}")
        if alignment not in ALIGNMENTS:
            raise ValueError(f"alignment: expected one of {', '.join(ALIGNMENTS)}, got {alignment!r}")
        if modulated and alignment == "flow":
            raise ValueError(
                "modulated: expected False with alignment 'flow', which has no taps to weigh, got True"
            )

        def aligner(handed_up: bool) -> DeformAlign | FlowAlign:
            if alignment == "flow":
                return FlowAlign(channels, kernel_size=kernel_size, handed_up=handed_up)
            return DeformAlign(
                channels,
                offset_groups=offset_groups,
                kernel_size=kernel_size,
                modulated=modulated,
                handed_up=handed_up,
            )

        def merge(sources: int) -> nn.Conv2d:
            return nn.Conv2d(sources * channels, channels, 3, padding=1)

        self.channels, self.neighbors = channels, neighbors
        # Unused parameters stop distributed training, so nothing is built that no output depends on.
        self.levels = nn.ModuleList()
        if neighbors and prior:
            self.levels.append(PyramidLevel(aligner(False), None))
            self.levels.extend(PyramidLevel(aligner(True), merge(2)) for _ in range(LEVELS - 1))
        elif neighbors:
            self.levels.append(PyramidLevel(aligner(False), merge(1)))
        self.refine = aligner(False) if neighbors else None
        self.fuse = nn.Conv2d((2 * neighbors + 1) * channels, out_channels or channels, 3, padding=1)

    def forward(self, clip: Float[Tensor, "b t c h w"]) -> Float[Tensor, "b t o 4h 4w"]:
        """Align and fuse every frame of a clip in one batched pass; at the ends the window is clamped (N4).

        Memory grows with ``t * 2k`` maps at H/4: hand long films to ``align``, one window at a time.

        Args:
            clip: features of consecutive frames.

        Returns:
            Fused features of every frame, each what ``align`` gives for its window.

        Raises:
            ValueError: ``clip`` is not ``b t c h w`` with the channels of this module.
        """
        self._check("clip", clip)
        frames = clip.shape[1]
        steps = torch.arange(-self.neighbors, self.neighbors + 1, device=clip.device)
        index = (torch.arange(frames, device=clip.device)[:, None] + steps).clamp(0, frames - 1)
        windows = rearrange(clip[:, index], "b t w c h v -> (b t) w c h v")
        return rearrange(self.align(windows), "(b t) o h w -> b t o h w", t=frames)

    def align(self, window: Float[Tensor, "b frames c h w"]) -> Float[Tensor, "b o 4h 4w"]:
        """Align the neighbours of the middle frame to it, all in one batched pass, and fuse them with it.

        Args:
            window: features of ``2 * neighbors + 1`` consecutive frames, the current one in the middle.

        Returns:
            Fused features of the current frame.

        Raises:
            ValueError: ``window`` has another number of frames or channels.
        """
        self._check("window", window)
        frames, middle = 2 * self.neighbors + 1, self.neighbors
        if window.shape[1] != frames:
            raise ValueError(
                f"window: expected {frames} frames for neighbors={middle}, got {window.shape[1]}; "
                "repeat the first or last frame at the ends of a clip"
            )
        target = _pyramid(window[:, middle])
        if self.refine is None:
            return self.fuse(target[-1])
        moving = torch.cat([window[:, :middle], window[:, middle + 1 :]], dim=1)
        aligned = self._align_levels(_pyramid(rearrange(moving, "b i c h w -> (b i) c h w")), target)
        refined, _ = self.refine.align(aligned, target[-1])
        neighbors = rearrange(refined, "(b i) c h w -> b (i c) h w", i=2 * middle)
        return self.fuse(torch.cat([neighbors, target[-1]], dim=1))

    def _align_levels(
        self, moving: list[Float[Tensor, "b_i c _h _w"]], target: list[Float[Tensor, "b c _h _w"]]
    ) -> Float[Tensor, "b_i c h w"]:
        """Output of level 3 for all neighbours; without the prior, level 3 is the only one."""
        output, motion = None, None
        levels = len(self.levels)
        for level, source, goal in zip(self.levels, moving[-levels:], target[-levels:], strict=True):
            output, motion = level(source, goal, motion, output)
        assert output is not None  # align has returned before when there is no level
        return output

    def _check(self, name: str, value: Float[Tensor, "*any"]) -> None:
        if value.ndim != 5 or value.shape[2] != self.channels:
            raise ValueError(
                f"{name}: expected b t c h w with c = {self.channels}, got {tuple(value.shape)}; "
                "frames are the second axis"
            )


def _upsample(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 2h 2w"]:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _pyramid(x: Float[Tensor, "n c h w"]) -> list[Float[Tensor, "n c _h _w"]]:
    """The same features at H/16, H/8 and H/4 (N4)."""
    pyramid = [x]
    while len(pyramid) < LEVELS:
        pyramid.append(_upsample(pyramid[-1]))
    return pyramid
