"""The copies of colour that a frame is mixed from, and what they are known by."""

from typing import NamedTuple

import torch
from ca_align import Matched
from jaxtyping import Float
from torch import Tensor


class References(NamedTuple):
    """What was found for a frame in the references, the attention's at H/8.

    Attributes:
        features: colour features. copies: ab of each head. similarity: how well each head matched.
        matched: colours found place by place; needed if and only if the network takes them.
        descriptors: features of the frame itself, by which the next one may find it.
        recalled: ab and similarity of each head's copy from an earlier frame; None at the start.
    """

    features: Float[Tensor, "b c h8 w8"]
    copies: Float[Tensor, "b k 2 h8 w8"]
    similarity: Float[Tensor, "b k h8 w8"]
    matched: Matched | None = None
    descriptors: Float[Tensor, "b d h8 w8"] | None = None
    recalled: tuple[Float[Tensor, "b k 2 h8 w8"], Float[Tensor, "b k h8 w8"]] | None = None


class Past(NamedTuple):
    """What earlier frames say about a frame: by way of the previous one, and straight from the keyframe.

    Attributes:
        previous: ab of the previous frame.
        error: size of its lightness error.
        known: 1, or 0 where there is no previous frame.
        similarity, agreement: of the features of both frames.
        key: ab of the keyframe.
        key_error: size of its lightness error.
        trust: in its track, 0 where there is no keyframe.
        memory: what was remembered, brought along with the previous frame.
    """

    previous: Float[Tensor, "b 2 h w"]
    error: Float[Tensor, "b 1 h w"]
    known: Float[Tensor, "b 1 h w"]
    similarity: Float[Tensor, "b 1 h w"]
    agreement: Float[Tensor, "b 1 h w"]
    key: Float[Tensor, "b 2 h w"]
    key_error: Float[Tensor, "b 1 h w"]
    trust: Float[Tensor, "b 1 h w"]
    memory: Float[Tensor, "b m h4 w4"] | None = None

    @classmethod
    def unknown(cls, like: Float[Tensor, "b 1 h w"]) -> "Past":
        """Of a frame with nothing before it."""
        one, zero = torch.ones_like(like), torch.zeros_like(like)
        nowhere = zero.repeat(1, 2, 1, 1)
        return cls(nowhere, one, zero, zero, zero, nowhere, one, zero)


class CopyResult(NamedTuple):
    """A reconstructed frame and the copies it was made of, all ab/110 at full resolution.

    Attributes:
        ab: the frame, smoothed where the network does so; what the state keeps of it is not.
        attended: the attention's copy.
        mask: share of what was carried or matched, against `attended`.
    """

    ab: Float[Tensor, "b 2 h w"]
    attended: Float[Tensor, "b 2 h w"]
    mask: Float[Tensor, "b 1 h w"]
