"""The network at work on one film: references in once, lightness in, ab out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from ca_data import resize
from ca_model import ColorAlignNet, Prediction, RecurrentState, colorize_clip, for_inference
from jaxtyping import Float
from torch import Tensor

from ca_film.source.film import Film, Frame
from ca_film.source.geometry import turn
from ca_film.source.references import Reference

__all__ = ["Painter", "network_lightness"]


class Painter:
    """A network on a device, and the tokens of a film's references.

    Args:
        model: the network, with weights.
        references: at least one.
        device: where to run.
    """

    def __init__(self, model: ColorAlignNet, references: Sequence[Reference], device: torch.device) -> None:
        self._model = for_inference(model).to(device)
        with torch.no_grad():
            self._tokens = self._model.encode_references(
                [reference.lab[None].to(device) for reference in references]
            )

    @property
    def lookback(self) -> int:
        """Number of frames that the network must see again to go on from a state: those it aligns."""
        return self._model.config.neighbors

    def paint(
        self,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        given: Mapping[int, Float[Tensor, "2 h w"]] | None = None,
        state: RecurrentState | None = None,
    ) -> Iterator[Prediction]:
        """Colour one stretch of a shot.

        Args:
            lightness: of every frame, upright, at the network's size, in [-1, 1].
            given: colours known beforehand, by place in the stretch; they come out as they are, and later
                frames build on them.
            state: to go on from; the stretch then begins with the `lookback` frames before. None at a cut.

        Returns:
            One prediction per frame, but for those looked back at, a few frames behind.
        """
        return colorize_clip(self._model, lightness, self._tokens, given=given, state=state)


def network_lightness(film: Film, frame: Frame, size: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Lightness of a frame as the network sees it: upright, small, in [-1, 1].

    Args:
        film: the film.
        frame: one of its frames.
        size: height and width at which the network sees the film.

    Returns:
        `1 h w`.
    """
    upright = turn(film.lightness(frame), film.format.rotation)
    return resize(upright, size).clamp(-1.0, 1.0)
