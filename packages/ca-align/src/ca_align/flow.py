"""Optical flow on feature pyramids: backward warping, local correlation, coarse-to-fine estimation, refinement.

Flow is `b 2 h w` in pixels of its own grid, channel 0 along x (columns) and channel 1 along y (rows), and is
defined on the target: `target(p) = moving(p + flow(p))`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# Sampling far outside any frame is one and the same border pixel; the bound keeps grid_sample's integers in range.
_MAX_PIXELS = 1e5


def _pixel_grid(h: int, w: int, like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """Pixel coordinates (x, y) of an `h x w` grid."""
    y = torch.arange(h, dtype=like.dtype, device=like.device)
    x = torch.arange(w, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]


def warp(
    moving: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h2 w2"], *, mode: str = "bilinear"
) -> Float[Tensor, "b c h2 w2"]:
    """Sample `moving` where `flow` points: `out(p) = moving(p + flow(p))`, replicating the border.

    Args:
        moving: map to sample.
        flow: displacement in pixels of `moving`, (x, y); its grid is the output's grid.
        mode: `bilinear`, `nearest` or `bicubic`, as in `torch.nn.functional.grid_sample`.

    Returns:
        The warped map, in the dtype of `moving`.

    Raises:
        ValueError: if `flow` has not two channels or the batch sizes differ.

    Example:
        >>> warp(torch.ones(1, 3, 5, 7), torch.zeros(1, 2, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """
    if flow.ndim != 4 or flow.shape[1] != 2 or flow.shape[0] != moving.shape[0]:
        raise ValueError(
            f"flow: expected ({moving.shape[0]}, 2, h, w) in (x, y) pixels, got {tuple(flow.shape)}; "
            "give one flow for each map of the batch"
        )
    h, w = moving.shape[-2:]
    # Coordinates need more digits than half precision has: 0.5 px at column 1000 is not representable in bf16.
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    position = (_pixel_grid(*flow.shape[-2:], flow) + flow).clamp(-_MAX_PIXELS, _MAX_PIXELS)
    size = torch.tensor([w, h], dtype=flow.dtype, device=flow.device).view(1, 2, 1, 1)
    grid = ((2 * position + 1) / size - 1).permute(0, 2, 3, 1)
    sampled = F.grid_sample(moving.to(grid.dtype), grid, mode=mode, padding_mode="border", align_corners=False)
    return sampled.to(moving.dtype)


def resize_flow(flow: Float[Tensor, "b 2 h w"], size: tuple[int, int]) -> Float[Tensor, "b 2 h2 w2"]:
    """Bring a flow to another grid `(h, w)`, its values scaled with it (bilinear)."""
    h, w = flow.shape[-2:]
    scale = torch.tensor([size[1] / w, size[0] / h], dtype=flow.dtype, device=flow.device).view(1, 2, 1, 1)
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * scale


def local_correlation(
    target: Float[Tensor, "b c h w"], moving: Float[Tensor, "b c h w"], radius: int
) -> Float[Tensor, "b d h w"]:
    """Mean product of every target pixel with the `(2 radius + 1)^2` pixels of `moving` around it.

    Channel `(dy + radius) * (2 radius + 1) + dx + radius` holds `mean_c target(p) moving(p + (dx, dy))`; outside the
    map `moving` is zero. Each row of the target is multiplied with the `2 radius + 1` rows it may match as one
    batched matrix product, and the band of wanted columns is read off its diagonals, so that no neighbourhood is
    ever copied per channel.

    Raises:
        ValueError: if the shapes differ or the radius is negative.

    Example:
        >>> local_correlation(torch.ones(1, 3, 5, 7), torch.ones(1, 3, 5, 7), radius=2).shape
        torch.Size([1, 25, 5, 7])
    """
    if target.shape != moving.shape or target.ndim != 4:
        raise ValueError(f"moving: expected the target's shape {tuple(target.shape)}, got {tuple(moving.shape)}")
    if radius < 0:
        raise ValueError(f"radius: expected 0 or more, got {radius}")
    b, c, h, w = target.shape
    side, padded = 2 * radius + 1, w + 2 * radius
    rows = F.pad(moving, (radius,) * 4).permute(0, 2, 1, 3).unfold(1, h, 1)  # b side c w' h
    product = (target.permute(0, 2, 3, 1) / c)[:, None] @ rows.permute(0, 1, 4, 2, 3)  # b side h w w'
    # Element (x, x + d) of each w x w' matrix: with one column more per row, the band stands upright.
    band = F.pad(product.reshape(b, side, h, w * padded), (0, w)).view(b, side, h, w, padded + 1)[..., :side]
    return band.permute(0, 1, 4, 2, 3).reshape(b, side * side, h, w)


def _central_difference(x: Float[Tensor, "b 1 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return dx, dy


def refine_flow(
    flow: Float[Tensor, "b 2 h w"],
    target: Float[Tensor, "b 1 h w"],
    moving: Float[Tensor, "b 1 h w"],
    *,
    iterations: int = 2,
    window: int = 7,
    damping: float = 1e-3,
    max_step: float = 1.0,
) -> Float[Tensor, "b 2 h w"]:
    """Sharpen a flow by iterative Lucas-Kanade steps on the lightness itself; nothing is learnt.

    Each step solves, in a `window x window` neighbourhood, `min_d sum (target - moving(p + flow) - grad . d)^2 +
    damping |d|^2` for the increment `d` (Lucas and Kanade 1981; the iterative form of Bouguet 2001), bounded to
    `max_step` pixels.

    Args:
        flow: initial flow, pixels.
        target, moving: lightness in network units.
        iterations: steps. window: odd side of the neighbourhood, pixels. damping: of the normal equations, in
            squared lightness units. max_step: bound of a step, pixels.
    """
    for _ in range(iterations):
        warped = warp(moving, flow)
        error = target - warped
        # The mean of both gradients doubles the basin of convergence (efficient second-order minimisation).
        dx, dy = ((p + q) / 2 for p, q in zip(_central_difference(warped), _central_difference(target), strict=True))
        sums = torch.cat([dx * dx, dx * dy, dy * dy, dx * error, dy * error], dim=1)
        for axis in ((window, 1), (1, window)):
            sums = F.avg_pool2d(sums, axis, stride=1, padding=(axis[0] // 2, axis[1] // 2), count_include_pad=False)
        xx, xy, yy, xe, ye = sums.split(1, dim=1)
        xx, yy = xx + damping, yy + damping
        step = torch.cat([yy * xe - xy * ye, xx * ye - xy * xe], dim=1) / (xx * yy - xy * xy)
        flow = flow + step.clamp(-max_step, max_step)
    return flow


class FlowPyramid(nn.Module):
    """Coarse-to-fine flow from local correlation of two feature pyramids.

    At each level the flow of the level below is upsampled (values doubled), the moving features are warped by it,
    and a small network reads the residual flow off the correlation within `radius` pixels (the scheme of PWC-Net,
    Sun et al. 2018). Features are compared by cosine, so a level's scale does not matter.

    Args:
        channels: feature channels of each level, coarsest first.
        radius: search radius at every level, pixels of that level.
        hidden: channels of the estimators.
        matching: channels features are projected to before they are compared.
    """

    def __init__(self, channels: Sequence[int], *, radius: int = 4, hidden: int = 48, matching: int = 32) -> None:
        super().__init__()
        if not channels or radius < 1:
            raise ValueError(f"FlowPyramid: expected channels of each level and radius >= 1, got {channels}, {radius}")
        self.radius = radius
        self.project = nn.ModuleList(nn.Conv2d(c, matching, 1) for c in channels)
        inputs = (2 * radius + 1) ** 2 + matching + 2
        self.estimate = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, hidden, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(hidden, 2, 3, padding=1),
            )
            for _ in channels
        )
        for estimator in self.estimate:
            nn.init.normal_(estimator[-1].weight, std=1e-3)  # type: ignore[index, union-attr]
            nn.init.zeros_(estimator[-1].bias)  # type: ignore[index, union-attr]

    def forward(
        self,
        target: Sequence[Float[Tensor, "b _c _h _w"]],
        moving: Sequence[Float[Tensor, "b _c _h _w"]],
        initial: Float[Tensor, "b 2 h w"] | None = None,
    ) -> list[Float[Tensor, "b 2 _h _w"]]:
        """Flow of every level, coarsest first.

        Args:
            target, moving: feature pyramids, coarsest level first, each level twice the size of the one before.
            initial: flow of the coarsest level to start from, pixels of that level; zero if absent.

        Raises:
            ValueError: if the pyramids have not one map for each level.
        """
        if len(target) != len(self.project) or len(moving) != len(self.project):
            raise ValueError(
                f"pyramids: expected {len(self.project)} levels each, got {len(target)} and {len(moving)}"
            )
        flow = initial
        flows: list[Tensor] = []
        for project, estimator, goal, source in zip(self.project, self.estimate, target, moving, strict=True):
            size = (goal.shape[-2], goal.shape[-1])
            flow = goal.new_zeros(goal.shape[0], 2, *size) if flow is None else resize_flow(flow, size)
            goal, source = F.normalize(project(goal), dim=1), F.normalize(project(source), dim=1)
            # Cosines lie in [-1, 1]; the mean over channels made them small, the factor brings them back.
            cost = local_correlation(goal, warp(source, flow), self.radius) * goal.shape[1]
            flow = flow + estimator(torch.cat([cost, goal, flow], dim=1))
            flows.append(flow)
        return flows
