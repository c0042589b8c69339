"""Window attention on maps of any height and width.

timm's `SwinTransformerBlock` takes sizes that its windows do not divide, but rolls the map *before* it pads
it and lets the padding be attended to: with 10 rows and windows of 8, row 0 then sees row 9. Here the map is
padded first and one mask keeps apart what the roll brought together and what is padding, so that the result
is that of windows cut off at the border. The attention itself (with the relative position bias B of Eq. 8)
and the MLP are timm's.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import Mlp
from timm.models.swin_transformer import WindowAttention, window_partition, window_reverse
from torch import Tensor, nn


def effective_shift(size: tuple[int, int], window: int, shift: int) -> tuple[int, int]:
    """The shift per axis: none along an axis that a single window covers, for there it would only cut.

    Example:
        >>> effective_shift((8, 9), window=8, shift=4)
        (0, 4)
    """
    return (shift if size[0] > window else 0), (shift if size[1] > window else 0)


def padding_to_windows(size: tuple[int, int], window: int) -> tuple[int, int]:
    """How many rows and columns are missing to whole windows.

    Example:
        >>> padding_to_windows((8, 9), window=8)
        (0, 7)
    """
    return -size[0] % window, -size[1] % window


def window_mask(
    size: tuple[int, int], window: int, shift: tuple[int, int], *, always: bool = False
) -> Float[Tensor, "windows n n"] | None:
    """What is added to the logits of each window: 0 within a region, minus infinity between regions.

    Two places of a window belong to one region if neither the roll by `shift` nor the padding separates them.
    Every place sees at least itself, so no row is minus infinity throughout.

    Args:
        size: height and width of the map before padding.
        window: side of a window.
        shift: by how much rows and columns are rolled up and left.
        always: a mask of zeros instead of None; for a graph that serves any size.

    Returns:
        One `window**2 x window**2` matrix per window, row after row; None if nothing is kept apart.

    Example:
        >>> window_mask((2, 3), window=2, shift=(0, 0))[:, 0]
        tensor([[0., 0., 0., 0.],
                [0., -inf, 0., -inf]])
    """
    if not always and shift == (0, 0) and padding_to_windows(size, window) == (0, 0):
        return None
    wrapped, padded = [], []
    for length, roll in zip(size, shift, strict=True):
        whole = length + -length % window
        origin = torch.arange(whole) + roll
        wrapped.append(origin >= whole)
        # No remainder: ONNX does not take one by a size that varies.
        padded.append(torch.where(wrapped[-1], origin - whole, origin) >= length)
    region = 2 * wrapped[0][:, None].int() + wrapped[1][None, :].int()
    region = region.masked_fill(padded[0][:, None] | padded[1][None, :], 4)
    regions = window_partition(region[None, :, :, None], (window, window)).reshape(-1, window**2)
    apart = regions[:, :, None] != regions[:, None, :]
    return torch.zeros(apart.shape).masked_fill(apart, -math.inf)


class FrozenWindowAttention(nn.Module):
    """timm's `WindowAttention` for inference: its bias is looked up once, and added by the product of query and key.

    Args:
        attention: whose weights are taken over.
    """

    bias: Float[Tensor, "k n n"]

    def __init__(self, attention: WindowAttention) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.scale = attention.num_heads, attention.scale
        self.register_buffer("bias", attention._get_rel_pos_bias()[0].detach(), persistent=False)

    def forward(
        self, x: Float[Tensor, "bw n c"], mask: Float[Tensor, "windows n n"] | None = None
    ) -> Float[Tensor, "bw n c"]:
        """Attend within each window, as timm's."""
        windows, n = x.shape[:2]
        q, k, v = self.qkv(x).view(windows, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).flatten(1, 2)
        bias = self.bias[None] if mask is None else mask[:, None] + self.bias
        # An exported step has a batch of one, and a mask of every window.
        batch = 1 if torch.compiler.is_exporting() else windows // bias.shape[0]
        bias = bias.repeat(batch, 1, 1, 1).flatten(0, 1)
        weights = torch.baddbmm(bias, q, k.mT, alpha=self.scale).softmax(dim=-1)
        out = torch.bmm(weights, v).view(windows, self.heads, n, -1)
        return self.proj(out.transpose(1, 2).reshape(windows, n, -1))


class WindowBlock(nn.Module):
    """Window attention and an MLP, each behind a layer norm and beside a shortcut (Eq. 8).

    Args:
        channels: channels of the map.
        heads: heads of the attention.
        window: side of a window.
        mlp_ratio: width of the MLP in units of `channels`.

    Example:
        >>> block = WindowBlock(8, heads=2, window=4, mlp_ratio=2.0)
        >>> block(torch.rand(1, 5, 7, 8), (2, 2), window_mask((5, 7), 4, (2, 2))).shape
        torch.Size([1, 5, 7, 8])
    """

    def __init__(self, channels: int, *, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, heads, window_size=window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, hidden_features=int(channels * mlp_ratio))

    def forward(
        self,
        x: Float[Tensor, "b h w c"],
        shift: tuple[int, int],
        mask: Float[Tensor, "windows n n"] | None,
    ) -> Float[Tensor, "b h w c"]:
        """Attend within windows.

        Args:
            x: the map, channels last.
            shift: by how much the windows are shifted down and right.
            mask: `window_mask` of the map's size and this shift.

        Returns:
            A map of the same shape.
        """
        x = x + self._attend(self.norm1(x), shift, mask)
        return x + self.mlp(self.norm2(x))

    def freeze(self) -> None:
        """Make ready for inference: the same function, whose attention is no longer trained."""
        self.attention = FrozenWindowAttention(self.attention)

    def _attend(self, x: Tensor, shift: tuple[int, int], mask: Tensor | None) -> Tensor:
        _, h, w, c = x.shape
        sides = (self.window, self.window)
        below, right = padding_to_windows((h, w), self.window)
        x = F.pad(x, (0, 0, 0, right, 0, below))
        x = torch.roll(x, shifts=(-shift[0], -shift[1]), dims=(1, 2))
        windows = window_partition(x, sides).reshape(-1, self.window**2, c)
        windows = self.attention(windows, mask=mask).reshape(-1, *sides, c)
        x = window_reverse(windows, sides, h + below, w + right)
        x = torch.roll(x, shifts=shift, dims=(1, 2))
        if torch.compiler.is_exporting():
            # A slice would tie the graph to sizes that need padding, or to those that do not.
            rows, columns = (torch.arange(side, device=x.device) for side in (h, w))
            return x.index_select(1, rows).index_select(2, columns)
        return x[:, :h, :w]
