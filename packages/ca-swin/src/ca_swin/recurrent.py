"""The recurrence: each frame is reconstructed with the colour of the one before it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

# What a state holds beside tensors, by the beginning of their names in a file.
_KEYFRAME, _RECOLLECTION = "keyframe.", "recollection."


class Keyframe(NamedTuple):
    """A frame that later ones take color from directly, and where the last frame lies in it.

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
    """A frame of a while ago, coarse: where it is looked for and what color it had.

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
        keyframe: what color is also taken from, in a network that tracks one.
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


class RecurrentReconstruction(nn.Module):
    """Reconstruct frame after frame, each with the previous output as a time prior (Eq. 6, 7; N8-N11).

    `prior = align(encoder(L_{t-1}, ab_{t-1}), F_t)`, `d_t = fusion(F_t, prior)`,
    `ab_t = decoder(body(d_t), skip_t, L_t)`. The first frame has no prior: `d_1 = F_1`.

    Args:
        align: `(state "b c h w", target "b c h w") -> "b c h w"`, brings the encoded state to the current
            frame (the deformable convolution D of Eq. 6).
        body: `"b c h w" -> "b c h w"`, `SwinReconstruction` or `UNetReconstruction`.
        encoder: a `StateEncoder` of the same channels, or a module with its call.
        fusion: a `SoftMaskFusion` of the same channels, or a module with its call.
        decoder: a `ColorDecoder` of the same channels, or a module with its call.

    Example:
        >>> from ca_swin import ColorDecoder, SoftMaskFusion, StateEncoder, SwinReconstruction
        >>> class NoMotion(nn.Module):
        ...     def forward(self, state, target):
        ...         return state
        >>> net = RecurrentReconstruction(
        ...     NoMotion(),
        ...     SwinReconstruction(8, depth=2, heads=2, window=4),
        ...     StateEncoder(8),
        ...     SoftMaskFusion(8),
        ...     ColorDecoder(8, skip_channels=4),
        ... )
        >>> features, skip = torch.rand(1, 3, 8, 4, 6), torch.rand(1, 3, 4, 8, 12)
        >>> ab, state = net(features, skip, torch.rand(1, 3, 1, 16, 24))
        >>> ab.shape
        torch.Size([1, 3, 2, 16, 24])
    """

    def __init__(
        self, align: nn.Module, body: nn.Module, encoder: nn.Module, fusion: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.align = align
        self.body = body
        self.encoder = encoder
        self.fusion = fusion
        self.decoder = decoder

    def step(
        self,
        features: Float[Tensor, "b c h4 w4"],
        skip: Float[Tensor, "b s h2 w2"],
        lightness: Float[Tensor, "b 1 h w"],
        state: RecurrentState | None = None,
    ) -> tuple[Float[Tensor, "b 2 h w"], RecurrentState]:
        """Reconstruct one frame.

        Args:
            features: the aligned features F^f of the frame, `b c h/4 w/4`.
            skip: the encoder's features at H/2, `b s h/2 w/2`.
            lightness: L/50 - 1, in [-1, 1], `b 1 h w`.
            state: what the step before returned; None at the start of a shot.

        Returns:
            ab/110 of the frame, in (-1, 1), and the state for the next one.

        Raises:
            ValueError: if the state is that of a film of another size, or shapes do not belong together.
        """
        if state is None:
            fused, _ = self.fusion(features, torch.zeros_like(features), False)
        else:
            if state.lightness.shape != lightness.shape:
                raise ValueError(
                    f"state: expected one of a frame of shape {tuple(lightness.shape)}, got "
                    f"{tuple(state.lightness.shape)}; start a new shot with state=None"
                )
            prior = self.align(self.encoder(state.lightness, state.ab), features)
            fused, _ = self.fusion(features, prior, True)
        ab = self.decoder(self.body(fused), skip, lightness)
        return ab, RecurrentState(lightness, ab)

    def forward(
        self,
        features: Float[Tensor, "b t c h4 w4"],
        skip: Float[Tensor, "b t s h2 w2"],
        lightness: Float[Tensor, "b t 1 h w"],
        state: RecurrentState | None = None,
    ) -> tuple[Float[Tensor, "b t 2 h w"], RecurrentState]:
        """Reconstruct a clip, frame after frame; the same as calling `step` on each.

        Args:
            features: the aligned features F^f of each frame, `b t c h/4 w/4`.
            skip: the encoder's features of each frame at H/2, `b t s h/2 w/2`.
            lightness: L/50 - 1, in [-1, 1], `b t 1 h w`.
            state: the state after the frame before the clip; None at the start of a shot.

        Returns:
            ab/110 of each frame, in (-1, 1), and the state after the last one.

        Raises:
            ValueError: if there is no frame, or shapes do not belong together.
        """
        counts = (features.shape[1], skip.shape[1], lightness.shape[1])
        if min(counts) == 0 or len(set(counts)) > 1:
            raise ValueError(
                f"features, skip, lightness: expected the same number (at least 1) of frames, got {counts}; "
                f"give (b, t, c, h, w) tensors of one clip"
            )
        frames = []
        for inputs in zip(features.unbind(1), skip.unbind(1), lightness.unbind(1), strict=True):
            ab, state = self.step(*inputs, state)
            frames.append(ab)
        assert state is not None
        return torch.stack(frames, dim=1), state
