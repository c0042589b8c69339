"""Streaming with explicit state: a frame and flat named tensors in, ab and flat named tensors out.

What `ColorAlignNet.stream` keeps to itself is handed in and out here, so that each step is a function of tensors alone:
one that can be exported, compiled, or captured with fixed buffers.
"""

import torch
from ca_align import Atlas
from ca_attention import ReferenceTokens
from jaxtyping import Float
from torch import Tensor, nn

from ca_model.copy_net import CopyNet
from ca_model.errors import ModelError
from ca_model.frames import EncodedReferences
from ca_model.network import ColorAlignNet
from ca_model.state import RecurrentState

# Channels that are copied from the references: ab.
_CARRIED = 2


class ReferenceStep(nn.Module):
    """Encode one still: the first of the three functions of a film.

    Several stills are encoded one by one; `join_references` lays the results side by side.

    Args:
        network: a copying network with attention.

    Raises:
        ModelError: for another network.
    """

    def __init__(self, network: ColorAlignNet) -> None:
        super().__init__()
        self.network = _streaming(network)

    def forward(self, still: Float[Tensor, "1 3 h w"]) -> dict[str, Float[Tensor, "..."]]:
        """Encode a still.

        Args:
            still: normalized Lab, height and width multiples of 16.

        Returns:
            `keys` and `values` for the attention; `lightness`, `ab`, `features`, `valid` and `number` for the matching.
        """
        return reference_tensors(self.network.encode_references([still]))


class FirstStep(nn.Module):
    """Colour the first frame of a shot.

    Args:
        network: a copying network with attention.

    Raises:
        ModelError: for another network.
    """

    def __init__(self, network: ColorAlignNet) -> None:
        super().__init__()
        self.network = _streaming(network)

    def forward(
        self, lightness: Float[Tensor, "1 1 h w"], references: dict[str, Float[Tensor, "..."]]
    ) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 1 h w"], dict[str, Float[Tensor, "..."]]]:
        """Colour a frame with nothing before it.

        Args:
            lightness: L/50 - 1, height and width multiples of 16.
            references: what `ReferenceStep` made.

        Returns:
            ab/110, confidence in [0, 1], and the state for the next frame.
        """
        return _step(self.network, lightness, references, None)


class NextStep(nn.Module):
    """Colour any later frame of a shot.

    Args:
        network: a copying network with attention.

    Raises:
        ModelError: for another network.
    """

    def __init__(self, network: ColorAlignNet) -> None:
        super().__init__()
        self.network = _streaming(network)

    def forward(
        self,
        lightness: Float[Tensor, "1 1 h w"],
        references: dict[str, Float[Tensor, "..."]],
        state: dict[str, Float[Tensor, "..."]],
    ) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 1 h w"], dict[str, Float[Tensor, "..."]]]:
        """Colour a frame after another one.

        Args:
            lightness: L/50 - 1, of the size of the frame before.
            references: as for the first frame.
            state: what the step before gave.

        Returns:
            ab/110, confidence in [0, 1], and the state for the next frame.
        """
        return _step(self.network, lightness, references, state)


def reference_tensors(references: EncodedReferences) -> dict[str, Float[Tensor, "..."]]:
    """Encoded references of a copying network as flat named tensors; `ReferenceStep` says which."""
    assert references.atlas is not None  # a network that matches has one
    valid = references.atlas.valid.to(references.atlas.lightness.dtype)
    tokens = {"keys": references.tokens.keys, "values": references.tokens.values}
    # A still of which only a part counts has one more map, which no exported program takes.
    plane = {name: part for name, part in references.atlas._asdict().items() if part is not None}
    return tokens | plane | {"valid": valid}


def join_references(stills: list[dict[str, Float[Tensor, "..."]]]) -> dict[str, Float[Tensor, "..."]]:
    """Lay encoded stills of one width side by side.

    Args:
        stills: what `ReferenceStep` made of each.

    Raises:
        ModelError: if there is none or the widths differ.
    """
    if not stills:
        raise ModelError("stills: expected at least one encoded still, got none")
    widths = {still["lightness"].shape[-1] for still in stills}
    if len(widths) > 1:
        raise ModelError(f"stills: expected one width, got {sorted(widths)}; resize or pad the stills")
    joined = {
        name: torch.cat([still[name] for still in stills], dim=2) for name in stills[0] if name != "number"
    }
    numbers = [still["number"] + number for number, still in enumerate(stills)]
    return joined | {"number": torch.cat(numbers, dim=2)}


def _streaming(network: ColorAlignNet) -> CopyNet:
    if not isinstance(network, CopyNet) or not network.config.attends or not network.config.temporal_prior:
        raise ModelError(
            "network: expected a copying network with attention and a temporal prior (base, tiny), got "
            f"{type(network).__name__}; the others are not streamed with explicit state"
        )
    return network


def _step(
    network: CopyNet,
    lightness: Float[Tensor, "1 1 h w"],
    references: dict[str, Float[Tensor, "..."]],
    state: dict[str, Float[Tensor, "..."]] | None,
) -> tuple[Float[Tensor, "1 2 h w"], Float[Tensor, "1 1 h w"], dict[str, Float[Tensor, "..."]]]:
    tokens = ReferenceTokens(references["keys"], references["values"], _CARRIED)
    plane = Atlas(**{name: references[name] for name in Atlas._fields if name in references})
    encoded = EncodedReferences(tokens, plane._replace(valid=plane.valid > 0))
    before = None if state is None else RecurrentState.from_named_tensors(state)
    (output,) = network.stream([lightness], encoded, state=before)
    return output.ab[:, 0], output.confidence[:, 0], output.state.named_tensors()
