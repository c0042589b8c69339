"""The network at work on one film: references in once, lightness in, ab out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from ca_model import (
    ColorAlignNet,
    EncodedReferences,
    GivenColors,
    Prediction,
    RecurrentState,
    colorize_clip,
)
from jaxtyping import Float
from torch import Tensor

from ca_film.network.selection import Selection
from ca_film.source.references import Reference

__all__ = ["Painter"]


class Painter:
    """A network on a device, and the references that it sees where.

    Args:
        model: the network, with weights, on its device.
        references: all of them.
        selection: which of them belong to which part of the film.
    """

    def __init__(self, model: ColorAlignNet, references: Sequence[Reference], selection: Selection) -> None:
        self._model = model
        self._references = references
        self._selection = selection
        self._encoded: tuple[tuple[int, ...], EncodedReferences] | None = None

    @property
    def lookback(self) -> int:
        """Number of frames that the network must see again to go on from a state: those it aligns."""
        return self._model.config.neighbors

    def paint(
        self,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        numbers: range,
        given: Mapping[int, GivenColors],
        state: RecurrentState | None = None,
    ) -> Iterator[Prediction]:
        """Colour one stretch of a shot.

        Args:
            lightness: of every frame, upright, at the network's size, in [-1, 1].
            numbers: of these frames in the film; falling in a pass against time.
            given: colours known beforehand, by number of the frame; they come out as they are, and later
                frames build on them.
            state: to go on from; the stretch then begins with the `lookback` frames before. None at a cut.

        Returns:
            One prediction per frame, but for those looked back at, a few frames behind.
        """
        return colorize_clip(
            self._model,
            lightness,
            lambda place: self._references_at(numbers[place]),
            given=_ByPlace(given, numbers),
            state=state,
        )

    def _references_at(self, number: int) -> EncodedReferences:
        chosen = self._selection.of(number)
        if self._encoded is None or self._encoded[0] != chosen:
            self._encoded = None  # two at once would double the memory
            self._encoded = chosen, self._encode(chosen)
        return self._encoded[1]

    @torch.no_grad()
    def _encode(self, chosen: Sequence[int]) -> EncodedReferences:
        device = next(self._model.parameters()).device
        if not chosen:
            # Every still is bound to other parts of the film: one that counts nowhere, by which nothing is found.
            nothing = torch.zeros(1, 3, 32, 32, device=device)
            return self._model.encode_references(
                [nothing], [torch.zeros_like(nothing[:, :1], dtype=torch.bool)]
            )
        stills = [self._references[number].prepared() for number in chosen]
        return self._model.encode_references(
            [still.lab[None].to(device) for still in stills],
            [None if still.opaque is None else still.opaque[None].to(device) for still in stills],
        )


class _ByPlace(Mapping[int, GivenColors]):
    """Known colours by place in a stretch, looked up one by one: those of a long shot would fill the memory."""

    def __init__(self, given: Mapping[int, GivenColors], numbers: range) -> None:
        self._given, self._numbers = given, numbers

    def __getitem__(self, place: int) -> GivenColors:
        return self._given[self._numbers[place]]

    def __contains__(self, place: object) -> bool:
        return isinstance(place, int) and self._numbers[place] in self._given

    def __iter__(self) -> Iterator[int]:
        return (place for place, number in enumerate(self._numbers) if number in self._given)

    def __len__(self) -> int:
        return sum(1 for _ in self)
