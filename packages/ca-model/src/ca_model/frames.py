"""What goes into a network and comes out of it, and a frame on its way between."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.nn.functional as F
from ca_align import Atlas, Matched
from ca_attention import AttendedColor, ReferenceTokens
from jaxtyping import Bool, Float
from torch import Tensor

from ca_model.state import RecurrentState

STRIDE = 16

T = TypeVar("T")


class Copy(NamedTuple):
    """A copy of colour that a frame is mixed from.

    Attributes:
        ab: ab/110.
        share: of it in the mixture, per pixel; the shares of all copies add up to 1.
    """

    ab: Float[Tensor, "*b 2 h w"]
    share: Float[Tensor, "*b 1 h w"]


class ColorOutput(NamedTuple):
    """Colour of a clip.

    Attributes:
        ab: ab/110 of each frame.
        confidence: in [0, 1]; low where the references do not cover the picture.
        copies: what the network mixed, before its correction and smoothing, which a loss may supervise: `attended`
            (from the references), `previous` (the frame before, carried along the motion), `keyframe`, `matched`; each
            as far as there is one, and none in the paper's network.
        state: what the next frame needs to know about these; give it back to go on, as if never stopped.
    """

    ab: Float[Tensor, "b t 2 h w"]
    confidence: Float[Tensor, "b t 1 h w"]
    copies: dict[str, Copy]
    state: RecurrentState


class Given(NamedTuple):
    """Frames of a clip whose colours are known beforehand, say a reference that belongs to the film itself.

    Attributes:
        ab: ab/110; read where `mask` is true only.
        mask: which frames of which sample are known.
        opaque: the pixels of them that are known; None: all. Elsewhere comes out what the network says.
    """

    ab: Float[Tensor, "b t 2 h w"]
    mask: Bool[Tensor, "b t"]
    opaque: Bool[Tensor, "b t 1 h w"] | None = None

    def at(self, index: int) -> "KnownColors":
        """What is known of one frame."""
        opaque = None if self.opaque is None else self.opaque[:, index]
        return KnownColors(self.ab[:, index], self.mask[:, index], opaque)


class EncodedReferences(NamedTuple):
    """References as a network looks at them, made once per shot.

    Attributes:
        tokens: for the colour transfer.
        atlas: for the matching; None in a network that does not match.
    """

    tokens: ReferenceTokens
    atlas: Atlas | None


class Frame(NamedTuple):
    """An encoded frame before reconstruction, its height and width multiples of 16.

    Attributes:
        lightness: L/50 - 1.
        maps: features of the encoder, finest first, at H/2, H/4, H/8 and H/16.
        attended: what the colour transfer brought from the references, at H/16 (paper) or H/8 (copying).
        descriptors: features of unit length by which places are compared, in a copying network that attends.
        matched: colours found in the references place by place, in the same.
    """

    lightness: Float[Tensor, "b 1 h w"]
    maps: list[Float[Tensor, "b _c _h _w"]]
    attended: AttendedColor
    descriptors: Float[Tensor, "b d h8 w8"] | None = None
    matched: Matched | None = None


# Colours of one frame as a caller gives them: ab/110, with the pixels that are known where not all are.
GivenColors = Float[Tensor, "*b 2 h w"] | tuple[Float[Tensor, "*b 2 h w"], Bool[Tensor, "*b 1 h w"]]


class KnownColors(NamedTuple):
    """Colours of one frame known beforehand.

    Attributes:
        ab: ab/110.
        mask: in which samples.
        opaque: at which pixels; None: at all.
    """

    ab: Float[Tensor, "b 2 h w"]
    mask: Bool[Tensor, " b"]
    opaque: Bool[Tensor, "b 1 h w"] | None = None

    @classmethod
    def of(cls, given: GivenColors) -> "KnownColors":
        """What a caller gave for every sample."""
        ab, opaque = given if isinstance(given, tuple) else (given, None)
        return cls(ab, torch.ones(len(ab), dtype=torch.bool, device=ab.device), opaque)

    def over(self, ab: Float[Tensor, "b 2 h2 w2"]) -> Float[Tensor, "b 2 h2 w2"]:
        """These colours laid over predicted ones, whose height and width are multiples of 16."""
        where = self.mask[:, None, None, None]
        if self.opaque is not None:
            where = where & (pad(self.opaque.float()) > 0)
        return torch.where(where, pad(self.ab).to(ab.dtype), ab)


def frame_of(frames: T, b: int, index: int) -> T:
    """Frame `index` of each of `b` clips, out of anything made of "(b t) ..." tensors.

    Example:
        >>> frame_of([torch.arange(6), None], 2, 1)
        [tensor([1, 4]), None]
    """
    value: Any = frames
    if isinstance(value, Tensor):
        value = value.view(b, -1, *value.shape[1:])[:, index]
    elif isinstance(value, list | tuple):
        parts = [frame_of(part, b, index) for part in value]
        value = parts if isinstance(value, list) else type(value)(*parts)
    return cast(T, value)


def lookahead_windows(frames: Iterable[T], neighbors: int, *, resumes: bool = False) -> Iterator[list[T]]:
    """The `2 neighbors + 1` consecutive frames around each; the first and the last are repeated at the ends (N4).

    Args:
        frames: read as far as needed.
        neighbors: k, on either side.
        resumes: the first k frames are only looked back at: their own windows do not come.

    Example:
        >>> ["".join(window) for window in lookahead_windows("abc", 1)]
        ['aab', 'abc', 'bcc']
        >>> ["".join(window) for window in lookahead_windows("abc", 1, resumes=True)]
        ['abc', 'bcc']
    """
    window: deque[T] = deque(maxlen=2 * neighbors + 1)
    count, done = 0, neighbors if resumes else 0
    for frame in frames:
        window.extend([frame] * (1 if count or resumes else neighbors + 1))
        count += 1
        if len(window) == window.maxlen:
            done += 1
            yield list(window)
    while done < count:
        # A clip shorter than the lookahead has not filled its window yet.
        window.append(window[-1])
        if len(window) == window.maxlen:
            done += 1
            yield list(window)


def join_frames(outputs: Sequence[ColorOutput]) -> ColorOutput:
    """One output of consecutive ones; the state is that of the last."""
    copies = {
        name: Copy(
            *(torch.cat(parts, dim=1) for parts in zip(*(one.copies[name] for one in outputs), strict=True))
        )
        for name in outputs[0].copies
    }
    return ColorOutput(
        torch.cat([one.ab for one in outputs], dim=1),
        torch.cat([one.confidence for one in outputs], dim=1),
        copies,
        outputs[-1].state,
    )


def pad(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Replicate the last row and column up to multiples of 16."""
    h, w = x.shape[-2:]
    right, bottom = -w % STRIDE, -h % STRIDE
    # A graph for any size must not ask whether there is something to pad.
    wanted = torch.compiler.is_exporting() or right or bottom
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if wanted else x


def crop(x: Float[Tensor, "b c h2 w2"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """The upper left `size` (h, w): what `pad` started from."""
    return x[..., : size[0], : size[1]]
