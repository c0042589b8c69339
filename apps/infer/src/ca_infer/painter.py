"""The network at work on one film: references in once, lightness in, ab out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from ca_model import Prediction, RecurrentState, colorize_clip
from jaxtyping import Float
from torch import Tensor

from ca_infer.references import Reference

if TYPE_CHECKING:
    from ca_model import ColorAlignNet

__all__ = ["Painter", "Prediction"]


class Painter:
    """A network on a device, and the tokens of a film's references.

    Args:
        model: the network, with weights.
        references: at least one.
        device: where to run.
    """

    def __init__(self, model: ColorAlignNet, references: Sequence[Reference], device: torch.device) -> None:
        self._model = model.to(device).eval()
        with torch.no_grad():
            self._tokens = self._model.encode_references(
                [reference.lab[None].to(device) for reference in references]
            )

    @property
    def lookback(self) -> int:
        """How many pictures before one the network must see again to go on from a state: those it aligns."""
        return self._model.config.neighbors

    def paint(
        self,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        given: Mapping[int, Float[Tensor, "2 h w"]] | None = None,
        state: RecurrentState | None = None,
    ) -> Iterator[Prediction]:
        """Colour one stretch of a shot.

        Args:
            lightness: of every picture, upright, at the network's size, in [-1, 1].
            given: colours known beforehand, by place in the stretch; they come out as they are, and later
                pictures build on them.
            state: to go on from; the stretch then begins with the `lookback` pictures before. None at a cut.

        Yields:
            One prediction per picture, but for those looked back at, a few pictures behind.
        """
        yield from colorize_clip(self._model, lightness, self._tokens, given=given, state=state)
