"""The recurrent state: what one frame leaves behind for the next."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# What a state holds beside tensors, by the beginning of their names in a file.
_KEYFRAME, _RECOLLECTION = "keyframe.", "recollection."


class Keyframe(NamedTuple):
    """The keyframe, which later frames take colour from directly, and where the last frame lies in it.

    Attributes:
        lightness: L/50 - 1.
        ab: ab/110.
        flow: from the last frame to the keyframe, pixels.
        trust: of each pixel's track, in [0, 1].
    """

    lightness: Float[Tensor, "b 1 h w"]
    ab: Float[Tensor, "b 2 h w"]
    flow: Float[Tensor, "b 2 h w"]
    trust: Float[Tensor, "b 1 h w"]

    @classmethod
    def at(cls, lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> "Keyframe":
        """The keyframe that the last frame itself is."""
        still = torch.zeros_like(lightness)
        return cls(lightness, ab, still.repeat(1, 2, 1, 1), torch.ones_like(lightness))

    def where(self, chosen: Bool[Tensor, " b"], other: "Keyframe") -> "Keyframe":
        """This keyframe in the chosen samples of a batch, the other one elsewhere."""
        mask = chosen[:, None, None, None]
        return Keyframe(*(torch.where(mask, mine, its) for mine, its in zip(self, other, strict=True)))


class Recollection(NamedTuple):
    """A frame of a while ago, coarse: where it is looked for and what colour it had.

    Attributes:
        descriptors: its features of unit length.
        ab: ab/110.
        age: frames since.
    """

    descriptors: Float[Tensor, "b d h8 w8"]
    ab: Float[Tensor, "b 2 h8 w8"]
    age: Float[Tensor, " b"]

    def older(self, other: "Recollection", chosen: Bool[Tensor, " b"]) -> "Recollection":
        """This recollection a frame later, or the other one in the chosen samples of a batch."""
        later = self._replace(age=self.age + 1)
        mask = chosen[:, None, None, None]
        return Recollection(
            torch.where(mask, other.descriptors, later.descriptors),
            torch.where(mask, other.ab, later.ab),
            torch.where(chosen, other.age, later.age),
        )


class RecurrentState(NamedTuple):
    """The last frame as it came out: all a step needs to know about the past (N8).

    Attributes:
        lightness: L/50 - 1, in [-1, 1].
        ab: the predicted ab/110, in (-1, 1).
        keyframe: what colour is also taken from, in a network that tracks one.
        descriptors: the last frame's features of unit length, in a network that matches frames by them.
        memory: what a network that remembers made of the frames so far.
        recollection: a frame of a while ago, in a network that attends to it.

    Example:
        >>> ab = torch.rand(1, 2, 4, 6, requires_grad=True)
        >>> RecurrentState(torch.rand(1, 1, 4, 6), ab).detach().ab.requires_grad
        False
    """

    lightness: Float[Tensor, "b 1 h w"]
    ab: Float[Tensor, "b 2 h w"]
    keyframe: Keyframe | None = None
    descriptors: Float[Tensor, "b d h8 w8"] | None = None
    memory: Float[Tensor, "b c h4 w4"] | None = None
    recollection: Recollection | None = None

    def detach(self) -> "RecurrentState":
        """The same state, cut off from the frames before it: truncated backpropagation through time."""
        return self._each(Tensor.detach)

    def to(self, device: torch.device) -> "RecurrentState":
        """The same state on another device."""
        return self._each(lambda value: value.to(device))

    def named_tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name, as they may be kept in a file."""
        parts = {name: value for name, value in self._asdict().items() if isinstance(value, Tensor)}
        for prefix, whole in ((_KEYFRAME, self.keyframe), (_RECOLLECTION, self.recollection)):
            if whole is not None:
                parts |= {prefix + name: value for name, value in whole._asdict().items()}
        return parts

    @classmethod
    def from_named_tensors(cls, tensors: Mapping[str, Tensor]) -> "RecurrentState":
        """The state of which `named_tensors` gave these.

        Raises:
            TypeError: if they are not those of a state.

        Example:
            >>> state = RecurrentState(torch.rand(1, 1, 4, 6), torch.rand(1, 2, 4, 6))
            >>> RecurrentState.from_named_tensors(state.named_tensors()) == state
            True
        """

        def take(prefix: str) -> dict[str, Tensor]:
            named = {name: value for name, value in tensors.items() if name.startswith(prefix)}
            return {name.removeprefix(prefix): value for name, value in named.items()}

        key, recollection = take(_KEYFRAME), take(_RECOLLECTION)
        nested = (_KEYFRAME, _RECOLLECTION)
        parts = {name: value for name, value in tensors.items() if not name.startswith(nested)}
        return cls(
            **parts,
            keyframe=Keyframe(**key) if key else None,
            recollection=Recollection(**recollection) if recollection else None,
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "RecurrentState":
        return self.from_named_tensors({name: change(value) for name, value in self.named_tensors().items()})
