"""Deformable convolution, v1 and modulated, over torchvision's operator or over grid sampling (Eq. 3, N7)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d  # type: ignore[import-untyped]

PATHS = ("auto", "torchvision", "sampling")

# Sampled taps held at once, in numbers: the allocator hands blocks above 32 MB back to the system, and
# fetching them anew, page by page, made a forward pass over four images 1.4 times as slow.
BLOCK = 4_000_000


def deform_conv2d(
    x: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b offsets rows columns"],
    weight: Float[Tensor, "o c kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    mask: Float[Tensor, "b taps rows columns"] | None = None,
    *,
    padding: int | tuple[int, int] = 1,
    path: str = "auto",
) -> Float[Tensor, "b o rows columns"]:
    """Convolve at displaced positions: every tap of the kernel reads where its own offset points.

    ``out(p) = bias + sum_n weight(p_n) * mask_n(p) * x(p + p_n + offset_n(p))`` (Eq. 3; ``mask`` is 1 for v1,
    which is what the paper cites, N7). ``x`` is read bilinearly and is zero outside its borders. Both paths
    give the same values and gradients; ``"auto"`` takes sampling on the CPU, where it measured faster
    (`python -m ca_align`), and torchvision's kernel on CUDA.

    Args:
        x: features, any range.
        offset: displacements in pixels of ``x``; channels ``(offset group, tap row, tap column, (y, x))``,
            torchvision's order. The number of offset groups follows from the number of channels.
        weight: kernel.
        bias: one number per output channel.
        mask: factor per offset group and tap, ``(offset group, tap row, tap column)``; makes it v2.
        padding: rows and columns of zeros around ``x``: one number, or one for each axis.
        path: ``"auto"``, ``"torchvision"`` or ``"sampling"``.

    Returns:
        Features of ``rows = h + 2 * padding - kh + 1`` and ``columns`` alike, in the dtype of ``x``.

    Raises:
        ValueError: a shape does not follow from the others, or ``path`` is unknown.

    Example:
        >>> x, weight = torch.rand(1, 4, 5, 7), torch.rand(2, 4, 3, 3)
        >>> still = torch.zeros(1, 2 * 9, 5, 7)
        >>> torch.allclose(deform_conv2d(x, still, weight), F.conv2d(x, weight, padding=1), atol=1e-5)
        True
    """
    pad = (padding, padding) if isinstance(padding, int) else padding
    _check(x, offset, weight, mask, pad, path)
    # Coordinates in half precision would be wrong by a pixel on grids of a few hundred columns.
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    features, displaced, kernel = x.to(wide), offset.to(wide), weight.to(wide)
    added = None if bias is None else bias.to(wide)
    modulation = None if mask is None else mask.to(wide)
    if path == "torchvision" or (path == "auto" and x.is_cuda):
        out = torchvision_deform_conv2d(features, displaced, kernel, added, padding=pad, mask=modulation)
    else:
        out = _sample_in_blocks(features, displaced, kernel, added, modulation, pad)
    return out.to(x.dtype)


def _sample_in_blocks(
    x: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b offsets rows columns"],
    weight: Float[Tensor, "o c kh kw"],
    bias: Float[Tensor, " o"] | None,
    mask: Float[Tensor, "b taps rows columns"] | None,
    padding: tuple[int, int],
) -> Float[Tensor, "b o rows columns"]:
    """The sampling path over as many images at a time as keep the sampled taps within one block."""
    images = max(1, BLOCK // (offset[0, 0].numel() * weight[0].numel()))
    masks = [None] * x.shape[0] if mask is None else mask.split(images)
    parts = [
        _sample_and_convolve(some, moved, weight, bias, factors, padding)
        for some, moved, factors in zip(x.split(images), offset.split(images), masks, strict=False)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _sample_and_convolve(
    x: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b offsets rows columns"],
    weight: Float[Tensor, "o c kh kw"],
    bias: Float[Tensor, " o"] | None,
    mask: Float[Tensor, "b taps rows columns"] | None,
    padding: tuple[int, int],
) -> Float[Tensor, "b o rows columns"]:
    """Read all taps of all offset groups by one grid sampling; the kernel is then a 1 x 1 convolution."""
    (batch, channels), (rows, columns) = x.shape[:2], offset.shape[2:]
    taps = weight.shape[2] * weight.shape[3]
    groups = offset.shape[1] // (2 * taps)
    # Right and bottom are filled with zeros up to powers of two: only then does grid_sample's normalisation
    # of coordinates round no whole pixel, so that a zero offset reads its own pixel and takes the derivative
    # on its right-hand side, as torchvision does. Otherwise rounding would pick the side, pixel by pixel, at
    # the very offsets training starts from.
    height, width = (1 << (size - 1).bit_length() for size in x.shape[2:])
    filled = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
    grid = _sampling_grid(offset, tuple(weight.shape[2:]), padding, (height, width))
    sampled = F.grid_sample(
        filled.reshape(batch * groups, channels // groups, height, width), grid, align_corners=False
    )
    if mask is not None:
        modulation = mask.reshape(batch * groups, 1, taps * rows, columns)
        sampled = sampled * modulation
    # (group, channel of group, tap) is (channel, tap): the order of the kernel, with nothing moved.
    taps_last = sampled.reshape(batch, channels * taps, rows, columns)
    return F.conv2d(taps_last, weight.reshape(weight.shape[0], channels * taps, 1, 1), bias)


def _sampling_grid(
    offset: Float[Tensor, "b offsets rows columns"],
    kernel: tuple[int, ...],
    padding: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "b_groups taps_rows columns xy"]:
    """Positions of all taps in grid_sample's coordinates, the taps one below the other."""
    (batch, _, rows, columns), (height, width) = offset.shape, size
    moved = offset.reshape(batch, -1, kernel[0], kernel[1], 2, rows, columns)

    def centers(taps: int, pad: int, length: int, extent: int) -> Float[Tensor, "taps length"]:
        ramp = torch.arange(max(taps, length), dtype=offset.dtype, device=offset.device)
        return (2 * (ramp[:taps, None] - pad + ramp[:length]) + 1) / extent - 1

    y = centers(kernel[0], padding[0], rows, height)[:, None, :, None]
    x = centers(kernel[1], padding[1], columns, width)[None, :, None, :]
    y = torch.add(y, moved[:, :, :, :, 0], alpha=2 / height)
    x = torch.add(x, moved[:, :, :, :, 1], alpha=2 / width)
    return torch.stack((x, y), dim=-1).reshape(-1, kernel[0] * kernel[1] * rows, columns, 2)


def _check(
    x: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b offsets rows columns"],
    weight: Float[Tensor, "o c kh kw"],
    mask: Float[Tensor, "b taps rows columns"] | None,
    padding: tuple[int, int],
    path: str,
) -> None:
    """Raise a ValueError that names the argument that does not fit."""
    if path not in PATHS:
        raise ValueError(f"path: expected one of {', '.join(PATHS)}, got {path!r}")
    for name, value, shape in (("x", x, "b c h w"), ("offset", offset, "b offsets rows columns")):
        if value.ndim != 4:
            raise ValueError(f"{name}: expected {shape}, got {tuple(value.shape)}; add or drop axes")
    if weight.ndim != 4 or weight.shape[1] != x.shape[1]:
        raise ValueError(
            f"weight: expected o {x.shape[1]} kh kw as x has {x.shape[1]} channels, got {tuple(weight.shape)}"
        )
    kernel = weight.shape[2:]
    taps = kernel[0] * kernel[1]
    groups, rest = divmod(offset.shape[1], 2 * taps)
    if rest or groups < 1 or x.shape[1] % groups:
        raise ValueError(
            f"offset: expected 2 * {taps} channels times a number of groups that divides {x.shape[1]}, "
            f"got {offset.shape[1]}; make it offset_groups * 2 * kh * kw"
        )
    rows, columns = (n + 2 * p - k + 1 for n, p, k in zip(x.shape[2:], padding, kernel, strict=True))
    expected = (x.shape[0], offset.shape[1], rows, columns)
    if tuple(offset.shape) != expected:
        raise ValueError(
            f"offset: expected {expected}, got {tuple(offset.shape)}; it lies on the output's grid"
        )
    if mask is not None and tuple(mask.shape) != (x.shape[0], groups * taps, rows, columns):
        raise ValueError(
            f"mask: expected {(x.shape[0], groups * taps, rows, columns)}, got {tuple(mask.shape)}; "
            "it has one channel per offset group and tap"
        )


class DeformConv2d(nn.Module):
    """Deformable convolution with its own kernel and bias; offsets come from the caller (Eq. 3, N7).

    The spatial size stays: an odd kernel is padded by half its size.

    Args:
        in_channels: channels of ``x``.
        out_channels: channels returned.
        kernel_size: odd side of the kernel.
        offset_groups: groups of channels that move together; divides ``in_channels``.
        modulated: v2: ``forward`` wants a mask as well.
        bias: learn one number per output channel.
        path: as in ``deform_conv2d``.

    Raises:
        ValueError: the kernel is even, or ``offset_groups`` does not divide ``in_channels``.

    Example:
        >>> layer = DeformConv2d(8, 5, offset_groups=2)
        >>> layer(torch.rand(1, 8, 7, 11), torch.zeros(1, layer.offset_channels, 7, 11)).shape
        torch.Size([1, 5, 7, 11])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        offset_groups: int = 1,
        modulated: bool = False,
        bias: bool = True,
        path: str = "auto",
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {kernel_size}; take 1 or 3")
        if offset_groups < 1 or in_channels % offset_groups:
            raise ValueError(
                f"offset_groups: expected a divisor of in_channels = {in_channels}, got {offset_groups}"
            )
        if path not in PATHS:
            raise ValueError(f"path: expected one of {', '.join(PATHS)}, got {path!r}")
        self.offset_channels = 2 * offset_groups * kernel_size**2
        self.mask_channels = offset_groups * kernel_size**2 if modulated else 0
        self.padding = kernel_size // 2
        self.path = path
        # A plain convolution keeps the parameters, so that both are initialised alike.
        plain = nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias)
        self.weight, self.bias = plain.weight, plain.bias

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        offset: Float[Tensor, "b offsets h w"],
        mask: Float[Tensor, "b taps h w"] | None = None,
    ) -> Float[Tensor, "b o h w"]:
        """Convolve ``x`` at positions displaced by ``offset`` pixels.

        Args:
            x: features.
            offset: ``offset_channels`` displacements in pixels, in the order of ``deform_conv2d``.
            mask: ``mask_channels`` factors when modulated, otherwise nothing.

        Returns:
            Features on the same grid.

        Raises:
            ValueError: a mask is missing or not wanted, or a shape does not fit.
        """
        if (mask is not None) != bool(self.mask_channels):
            wanted = f"{self.mask_channels} channels" if self.mask_channels else "none"
            got = "none" if mask is None else f"{mask.shape[1]} channels"
            raise ValueError(f"mask: expected {wanted} with modulated={bool(self.mask_channels)}, got {got}")
        if offset.shape[1] != self.offset_channels:
            raise ValueError(f"offset: expected {self.offset_channels} channels, got {offset.shape[1]}")
        return deform_conv2d(x, offset, self.weight, self.bias, mask, padding=self.padding, path=self.path)
