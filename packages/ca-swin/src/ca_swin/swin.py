"""Swin reconstruction of the mixed features."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.shapes import check_map, check_positive
from ca_swin.windows import WindowBlock, effective_shift, window_mask

REMEMBERED_SIZES = 8


class SwinReconstruction(nn.Module):
    """Window attention blocks, shifted on every other block, beside a shortcut (Eq. 8, N10).

    `out = x + conv(norm(blocks(x)))`. The paper gives neither depth, width, heads nor window; the defaults
    are our choice. The closing 3 x 3 convolution is too: it smooths what windows do not share.

    Args:
        channels: channels of the map; a multiple of `heads`.
        depth: number of blocks; block 1, 3, 5 ... are shifted by half a window.
        heads: heads of each attention.
        window: side N of a window.
        mlp_ratio: width of each MLP in units of `channels`.

    Raises:
        ValueError: if a number is not positive or `channels` cannot be shared out over the heads.

    Example:
        >>> body = SwinReconstruction(8, depth=2, heads=2, window=4)
        >>> body(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])
    """

    def __init__(
        self, channels: int, *, depth: int = 4, heads: int = 4, window: int = 8, mlp_ratio: float = 2.0
    ) -> None:
        super().__init__()
        check_positive(channels=channels, depth=depth, heads=heads, window=window)
        if channels % heads:
            raise ValueError(
                f"channels: expected a multiple of heads={heads}, got {channels}; change either of them"
            )
        self.channels = channels
        self.window = window
        self.blocks = nn.ModuleList(
            WindowBlock(channels, heads=heads, window=window, mlp_ratio=mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        # Not buffers: masks follow from the size of the input and have no place in a checkpoint.
        self._masks: dict[tuple[tuple[int, int], tuple[int, int], torch.device], Tensor | None] = {}

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Reconstruct a map of any height and width.

        Args:
            x: features, `b channels h w`.

        Returns:
            Features of the same shape.

        Raises:
            ValueError: if `x` is not `b channels h w`.
        """
        check_map("x", x, self.channels)
        size = (x.shape[2], x.shape[3])
        y = rearrange(x, "b c h w -> b h w c")
        for index, block in enumerate(self.blocks):
            shift = effective_shift(size, self.window, self.window // 2 if index % 2 else 0)
            y = block(y, shift, self._mask(size, shift, x.device))
        return x + self.conv(rearrange(self.norm(y), "b h w c -> b c h w"))

    def _mask(self, size: tuple[int, int], shift: tuple[int, int], device: torch.device) -> Tensor | None:
        if torch.compiler.is_exporting():
            # A graph that serves any size makes its masks itself.
            made = window_mask(size, self.window, shift, always=True)
            return None if made is None else made.to(device)
        key = (size, shift, device)
        if key not in self._masks:
            # Two masks a size; training on crops of many sizes must not pile them up.
            if len(self._masks) >= 2 * REMEMBERED_SIZES:
                self._masks.pop(next(iter(self._masks)))
            # A mask made under inference_mode could not serve a later training step.
            with torch.inference_mode(False):
                mask = window_mask(size, self.window, shift)
                self._masks[key] = None if mask is None else mask.to(device)
        return self._masks[key]
