"""Input and output of the attention: one token set for all references, one result per frame."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor


class ReferenceTokens(NamedTuple):
    """All tokens of all references of a shot, encoded once and used for every frame of it.

    Made by `encode` of a module and understood by `forward` of that same module only.

    Attributes:
        keys: what a frame is compared with.
        values: what is taken over where the comparison succeeds, the carried channels among it.
        carried_channels: how many channels are copied unchanged (0: none).
        partial: whether some tokens are masked; they get no weight and carry nothing.
    """

    keys: Float[Tensor, "b k m d"]
    values: Float[Tensor, "b k m e"]
    carried_channels: int
    partial: bool = False


class AttendedColor(NamedTuple):
    """What the references say about a frame.

    Attributes:
        features: the source features with the references' colour added.
        confidence: how well the best head matched, in [0, 1]; 0 where the references do not cover the frame.
        carried: one copy per head of what `encode` was given as `carried`; None if it was given nothing.
        similarity: expected cosine similarity per head, in [-1, 1].
        descriptors: `SourceReferenceAttention.descriptors` of the query; None of a transfer that compares nothing.
    """

    features: Float[Tensor, "b c h w"]
    confidence: Float[Tensor, "b 1 h w"]
    carried: Float[Tensor, "b k v h w"] | None
    similarity: Float[Tensor, "b k h w"]
    descriptors: Float[Tensor, "b k*d h w"] | None = None


def check_map(name: str, x: Float[Tensor, "b c h w"], channels: int) -> None:
    """Raise a ValueError unless `x` is a non-empty `b channels h w` tensor."""
    if x.ndim != 4 or x.shape[1] != channels or x.numel() == 0:
        raise ValueError(
            f"{name}: expected a non-empty tensor of shape (b, {channels}, h, w), got {tuple(x.shape)}; "
            f"reshape it, or build the module for {x.shape[1] if x.ndim == 4 else 'other'} channels"
        )


def gather_tokens(
    name: str, maps: Sequence[Float[Tensor, "b c _hi _wi"]], channels: int | None = None
) -> Float[Tensor, "b m c"]:
    """Lay maps of any size side by side as one token set, `m` being the sum of `hi * wi`.

    Args:
        name: what the caller calls `maps`, for the error text.
        maps: one `b c hi wi` tensor per reference.
        channels: the channels every map must have (None: those of the first).

    Returns:
        The tokens, reference after reference, row after row.

    Raises:
        ValueError: if there is no map, or if their channels or batch sizes differ from what is expected.

    Example:
        >>> gather_tokens("references", [torch.zeros(1, 3, 2, 5), torch.zeros(1, 3, 7, 1)], 3).shape
        torch.Size([1, 17, 3])
    """
    if len(maps) == 0:
        raise ValueError(
            f"{name}: expected at least one map of shape (b, c, h, w), got none; give a reference"
        )
    if channels is None:
        channels = maps[0].shape[1] if maps[0].ndim == 4 else 1
    for index, x in enumerate(maps):
        check_map(f"{name}[{index}]", x, channels)
        if x.shape[0] != maps[0].shape[0]:
            raise ValueError(
                f"{name}[{index}]: expected batch size {maps[0].shape[0]} as in {name}[0], got {x.shape[0]}; "
                f"every sample needs the same number of references"
            )
    return torch.cat([rearrange(x, "b c h w -> b (h w) c") for x in maps], dim=1)


def check_beside(
    name: str,
    maps: Sequence[Float[Tensor, "b _c _hi _wi"]],
    references: Sequence[Float[Tensor, "b _c _hi _wi"]],
) -> None:
    """Raise a ValueError unless every map has the batch, height and width of the reference it belongs to."""
    got = [(x.shape[0], *x.shape[2:]) for x in maps]
    expected = [(x.shape[0], *x.shape[2:]) for x in references]
    if got != expected:
        raise ValueError(
            f"{name}: expected one map per reference with (batch, height, width) {expected}, got {got}; "
            f"resize each map to the size of its reference's features"
        )


def gather_valid(
    valid: Sequence[Bool[Tensor, "b 1 _hi _wi"] | None] | None, references: Sequence[Tensor]
) -> Bool[Tensor, "b m 1"] | None:
    """Lay validity masks side by side as `gather_tokens` lays the tokens.

    Args:
        valid: True where a reference counts; None for a reference that counts everywhere, or for all of them.
        references: the maps that the masks belong to.

    Returns:
        The mask of every token; None where all of them count.

    Raises:
        ValueError: if a mask is not boolean or has not the batch, height and width of its reference.

    Example:
        >>> left = torch.tensor([True, False, False]).view(1, 1, 1, 3)
        >>> gather_valid([left, None], [torch.zeros(1, 8, 1, 3), torch.zeros(1, 8, 1, 1)]).flatten().tolist()
        [True, False, False, True]
    """
    if valid is None or all(mask is None for mask in valid):
        return None
    if len(valid) != len(references):
        raise ValueError(
            f"valid: expected one mask (or None) for each of the {len(references)} references, got {len(valid)}; "
            f"give None for a reference that counts everywhere"
        )
    masks = []
    for index, (mask, reference) in enumerate(zip(valid, references, strict=True)):
        expected = (reference.shape[0], 1, *reference.shape[2:])
        if mask is None:
            masks.append(reference.new_ones(expected, dtype=torch.bool))
        elif mask.dtype != torch.bool or tuple(mask.shape) != expected:
            raise ValueError(
                f"valid[{index}]: expected a boolean mask of shape {expected}, got {mask.dtype} {tuple(mask.shape)}; "
                f"bring it to the size of its reference's features"
            )
        else:
            masks.append(mask)
    return torch.cat([rearrange(mask, "b 1 h w -> b (h w) 1") for mask in masks], dim=1)


def check_batch(source: Float[Tensor, "b c h w"], tokens: ReferenceTokens) -> None:
    """Raise a ValueError unless the frames share out evenly over the clips the tokens belong to."""
    clips = tokens.keys.shape[0]
    if source.shape[0] % clips:
        raise ValueError(
            f"source: expected a batch that is a multiple of the tokens' {clips} (frames of one clip next to "
            f"each other), got {source.shape[0]}; encode the references with the batch size of the clips"
        )
