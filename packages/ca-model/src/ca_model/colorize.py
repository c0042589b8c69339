"""Colour a clip: frames in, one after another, from anywhere; predictions out, on the CPU."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ca_model.frames import EncodedReferences
from ca_model.network import ColorAlignNet
from ca_model.state import RecurrentState


@dataclass(frozen=True, eq=False)
class Prediction:
    """Colour of one frame as a network predicts it, float32 on the CPU, with a batch axis if the frame had one.

    Attributes:
        ab: ab/110.
        confidence: in [0, 1], how well the references cover each place.
        state: what the network needs to go on after this frame, on its own device, with a batch axis.
    """

    ab: Float[Tensor, "*b 2 h w"]
    confidence: Float[Tensor, "*b 1 h w"]
    state: RecurrentState | None = None


@torch.no_grad()
def colorize_clip(
    model: ColorAlignNet,
    lightness: Iterable[Float[Tensor, "*b 1 h w"]],
    references: EncodedReferences | Sequence[Float[Tensor, "*b 3 _h _w"]],
    *,
    given: Mapping[int, Float[Tensor, "*b 2 h w"]] | None = None,
    state: RecurrentState | None = None,
) -> Iterator[Prediction]:
    """Colour one stretch of a shot frame by frame, in memory that does not grow with its length.

    Everything is brought to the model's device, frames one by one; a frame comes out once the `neighbors` after it are
    in. No gradient is kept, but what comes out may be worked on in place, in other threads as well.

    Args:
        model: the network, in evaluation mode.
        lightness: L/50 - 1 of one frame after another, all of one size, with or without a batch axis.
        references: normalized Lab stills, any number from 1 and of any size, or what `encode_references` made of them.
        given: ab/110 known beforehand, by place in the clip; it comes out as it is, and later frames build on it.
        state: of a prediction before, to go on from there; `lightness` then begins with the `neighbors` frames before
            the first new one. None at the start of a shot.

    Yields:
        One prediction per frame, but for those looked back at.

    Raises:
        ModelError: if there is no reference or one is no Lab.

    Example:
        >>> from ca_model import create_model
        >>> film = (torch.zeros(1, 32, 48) for _ in range(3))
        >>> colors = list(colorize_clip(create_model("tiny").eval(), film, [torch.zeros(3, 32, 48)]))
        >>> len(colors), colors[0].ab.shape
        (3, torch.Size([2, 32, 48]))
    """
    device = next(model.parameters()).device
    batched = False

    def bring(x: Tensor) -> Tensor:
        x = x.to(device)
        return x[None] if x.ndim == 3 else x

    def frames() -> Iterator[Tensor]:
        nonlocal batched
        for frame in lightness:
            batched = frame.ndim == 4
            yield bring(frame)

    if not isinstance(references, EncodedReferences):
        references = model.encode_references([bring(still) for still in references])
    known = {place: bring(ab) for place, ab in (given or {}).items()}
    before = None if state is None else state.to(device)
    for output in model.stream(frames(), references, given=known, state=before):
        ab, confidence = output.ab[:, 0].float().cpu(), output.confidence[:, 0].float().cpu()
        if not batched:
            ab, confidence = ab[0], confidence[0]
        yield Prediction(ab, confidence, output.state)
