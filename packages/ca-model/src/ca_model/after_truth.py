"""What a network makes of the truth: each frame coloured after the true colours of the one before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ca_model.config import CopyConfig
from ca_model.errors import ModelError
from ca_model.frames import pad
from ca_model.network import ColorAlignNet
from ca_model.state import RecurrentState


@dataclass(frozen=True, eq=False)
class AfterTruth:
    """A frame after the true colours of the one before, float32 on the CPU.

    Attributes:
        ab: ab/110 that the network predicts.
        warped: the true ab/110 of the frame before, only carried along the motion, by the network's own flow.
        shares: of each copy of colour in the prediction, on average (`ColorOutput.copies`).
    """

    ab: Float[Tensor, "2 h w"]
    warped: Float[Tensor, "2 h w"]
    shares: Mapping[str, float]


@torch.no_grad()
def colorize_after_truth(
    model: ColorAlignNet,
    frames: Iterable[tuple[Float[Tensor, "1 h w"], Float[Tensor, "2 h w"]]],
    references: Sequence[Float[Tensor, "3 _h _w"]],
    *,
    given: Mapping[int, Float[Tensor, "2 h w"]] | None = None,
) -> Iterator[AfterTruth]:
    """Colour each frame of a clip as if all before it had come out in their true colours.

    What is then still wrong is this one step's doing; what comes on top when the network builds on its own frames is
    what its memory loses. A network that does worse here than the truth that is plainly carried along the motion mixes
    in what it should not. After each frame the state is given its true colours, as the previous frame and as the own
    frame that is recalled; the keyframe stays what it is, the last frame that was given.

    Args:
        model: a copying network with a temporal prior, in evaluation mode.
        frames: of one shot, in order: L/50 - 1 and the true ab/110, all of one size.
        references: normalized Lab stills, any number from 1 and of any size.
        given: ab/110 known beforehand, by place in the clip, as in `colorize_clip`.

    Yields:
        One for each frame; where the colours were given, and in the first frame, `warped` means nothing.

    Raises:
        ModelError: the network copies no previous frame.

    Example:
        >>> from ca_model import create_model
        >>> clip = [(torch.zeros(1, 32, 48), torch.full((2, 32, 48), 0.25))] * 3
        >>> *_, last = colorize_after_truth(create_model("tiny").eval(), clip, [torch.zeros(3, 32, 48)])
        >>> last.warped.mean().item()
        0.25
    """
    if not (isinstance(model.config, CopyConfig) and model.config.temporal_prior):
        raise ModelError(
            "model: expected a network that copies the previous frame's colours (base, tiny), got one that does not"
        )
    device = next(model.parameters()).device
    tokens = model.encode_references([still[None].to(device) for still in references])
    state: RecurrentState | None = None
    for place, (lightness, ab) in enumerate(frames):
        known = {0: given[place][None].to(device)} if given and place in given else None
        (output,) = model.stream([lightness[None].to(device)], tokens, given=known, state=state)
        state = _recolored(output.state, pad(ab[None].to(device)))
        yield AfterTruth(
            output.ab[0, 0].float().cpu(),
            output.copies["previous"].ab[0, 0].float().cpu(),
            {name: copy.share.mean().item() for name, copy in output.copies.items()},
        )


def _recolored(state: RecurrentState, ab: Float[Tensor, "1 2 h w"]) -> RecurrentState:
    """The state had its frame come out in these colours."""
    recollection = state.recollection
    if recollection is not None and recollection.age.item() == 0:
        recollection = recollection._replace(ab=F.avg_pool2d(ab, 8))
    return state._replace(ab=ab, recollection=recollection)
