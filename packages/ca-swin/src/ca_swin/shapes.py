"""The shape checks at the package's public boundaries."""

from torch import Tensor


def check_map(name: str, x: Tensor, channels: int) -> None:
    """Raise a ValueError unless `x` is a non-empty `b channels h w` tensor."""
    if x.ndim != 4 or x.shape[1] != channels or x.numel() == 0:
        raise ValueError(
            f"{name}: expected a non-empty tensor of shape (b, {channels}, h, w), got {tuple(x.shape)}; "
            f"reshape it, or build the module for {x.shape[1] if x.ndim == 4 else 'other'} channels"
        )


def check_size(name: str, x: Tensor, batch: int, size: tuple[int, ...], *, why: str) -> None:
    """Raise a ValueError unless `x` has this batch, height and width; `why` says where they come from."""
    if (x.shape[0], *x.shape[2:]) != (batch, *size):
        raise ValueError(
            f"{name}: expected batch {batch} and height, width {tuple(size)} ({why}), got {tuple(x.shape)}; "
            f"resize {name}"
        )


def check_positive(**numbers: int) -> None:
    """Raise a ValueError unless every number is at least 1."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: expected a positive number, got {number}; give at least 1")


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a convolution of stride 2 that rounds up.

    Example:
        >>> halved((7, 12))
        (4, 6)
    """
    return (size[0] + 1) // 2, (size[1] + 1) // 2
