"""Both networks from outside: references in once, lightness in frame after frame, ab out.

`PaperNet` and `CopyNet` fill in how references and frames are encoded and how a frame is reconstructed.
"""

# The hub's mixin fills a dataclass it finds in an annotation, and drops the fields it does not know; annotations that
# are only names make it hand over the plain values instead.
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from ca_align import FlexAlign
from ca_attention import AdaptiveInstanceNorm, AttendedColor, SourceReferenceAttention
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ca_model.config import ColorAlignConfig
from ca_model.encoder import PyramidEncoder
from ca_model.errors import ModelError
from ca_model.frames import (
    ColorOutput,
    Copy,
    EncodedReferences,
    Frame,
    Given,
    GivenColors,
    KnownColors,
    crop,
    frame_of,
    join_frames,
    lookahead_windows,
)
from ca_model.partial import fill_hidden
from ca_model.state import RecurrentState


class ColorAlignNet(
    nn.Module,
    PyTorchModelHubMixin,
    ABC,
    library_name="coloralign",
    license="apache-2.0",
    tags=["video-colorization"],
):
    """Grey video coloured from colour references: what `PaperNet` and `CopyNet` have in common.

    `create_model`, `load_model` and `from_pretrained` give the one that a configuration describes.

    Attributes:
        configured_by: the class of the network's configurations.
        config: what it is built of; see `preset`.
        encoder, reference_encoder: of the lightness and of the references.
        transfer: the colour transfer, Eq. 1 or AdaIN.
        alignment: of the neighbouring frames (Eq. 2-5); None in a network that looks at no later frame.
        reconstruction: of one frame after another, by its `step`.

    Example:
        >>> from ca_model import create_model
        >>> model = create_model("tiny").eval()
        >>> output = model(torch.zeros(1, 2, 1, 37, 53), torch.zeros(1, 1, 3, 41, 29))
        >>> output.ab.shape
        torch.Size([1, 2, 2, 37, 53])
    """

    configured_by: ClassVar[type[ColorAlignConfig]]
    encoder: PyramidEncoder
    reference_encoder: PyramidEncoder
    transfer: SourceReferenceAttention | AdaptiveInstanceNorm
    alignment: FlexAlign | None
    reconstruction: nn.Module

    def __init__(self, config: ColorAlignConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def of(cls, config: ColorAlignConfig) -> ColorAlignNet:
        """The network that a configuration describes, with random weights."""
        return cls._described_by(config)(config)

    @classmethod
    def _described_by(cls, config: ColorAlignConfig) -> type[ColorAlignNet]:
        return next(
            network for network in ColorAlignNet.__subclasses__() if isinstance(config, network.configured_by)
        )

    @classmethod
    def _from_pretrained(cls, *, config: dict[str, Any] | None = None, **options: Any) -> ColorAlignNet:
        """Called by `from_pretrained`: load into the network that the repository's configuration describes."""
        if config is None:
            raise ModelError(f"weights {options['model_id']}: no config.json beside them")
        described = ColorAlignConfig.from_dict(config)
        network = cls._described_by(described)
        loaded: ColorAlignNet = super(ColorAlignNet, network)._from_pretrained(config=described, **options)
        return loaded

    def encode_references(
        self,
        references: Float[Tensor, "b m 3 h w"] | Sequence[Float[Tensor, "b 3 _h _w"]],
        masks: Sequence[Bool[Tensor, "b 1 _h _w"] | None] | None = None,
    ) -> EncodedReferences:
        """Encode references for the colour transfer; needed once per shot.

        Args:
            references: normalized Lab stills, any number from 1, each of any size.
            masks: the part of each still that counts, None where all of it does; the rest is never read.

        Raises:
            ModelError: if there is none, one is not `b 3 h w`, or a mask does not belong to its still.
        """
        stills = list(references.unbind(1)) if isinstance(references, Tensor) else list(references)
        if not stills:
            raise ModelError("references: expected at least one colour still, got none")
        for index, still in enumerate(stills):
            if still.ndim != 4 or still.shape[1] != 3:
                raise ModelError(
                    f"references[{index}]: expected (b, 3, h, w) normalized Lab, got {tuple(still.shape)}"
                )
        if masks is None or all(mask is None for mask in masks):
            return self._encode_stills(stills, [None] * len(stills))
        if len(masks) != len(stills):
            raise ModelError(
                f"masks: expected one (or None) for each of the {len(stills)} references, got {len(masks)}"
            )
        for index, (still, mask) in enumerate(zip(stills, masks, strict=True)):
            expected = (still.shape[0], 1, *still.shape[2:])
            if mask is not None and (tuple(mask.shape) != expected or mask.dtype != torch.bool):
                raise ModelError(
                    f"masks[{index}]: expected a boolean mask of shape {expected} as its still, got "
                    f"{mask.dtype} {tuple(mask.shape)}"
                )
        pairs = list(zip(stills, masks, strict=True))
        filled = [still if mask is None else fill_hidden(still, mask) for still, mask in pairs]
        return self._encode_stills(filled, masks)

    def forward(
        self,
        lightness: Float[Tensor, "b t 1 h w"],
        references: Float[Tensor, "b m 3 h2 w2"] | Sequence[Float[Tensor, "b 3 _h _w"]],
        *,
        masks: Sequence[Bool[Tensor, "b 1 _h _w"] | None] | None = None,
        given: Given | None = None,
        state: RecurrentState | None = None,
    ) -> ColorOutput:
        """Colour a clip.

        Args:
            lightness: L/50 - 1 of each frame, any height and width.
            references: normalized Lab stills, any number from 1 and of any size.
            masks: the part of each still that counts, as in `encode_references`.
            given: frames whose colours are known: they come out so, and later frames build on them.
            state: of the output before, to go on from there. The first `neighbors` frames are then those before
                this part of the clip once more: the alignment looks at them, and they do not come out again.

        Raises:
            ModelError: if shapes do not fit.
        """
        if lightness.ndim != 5 or lightness.shape[2] != 1 or lightness.numel() == 0:
            raise ModelError(f"lightness: expected (b, t, 1, h, w), got {tuple(lightness.shape)}")
        seen = 0 if state is None else self.config.neighbors
        b, t, _, h, w = lightness.shape
        if t <= seen:
            raise ModelError(
                f"lightness: expected the {seen} frames before and at least one new one, got {t}"
            )
        frames = self._encode(
            rearrange(lightness, "b t 1 h w -> (b t) 1 h w"), self.encode_references(references, masks)
        )
        aligned: list[Tensor | None] = [None] * t
        if self.alignment is not None:
            features = rearrange(frames.attended.features, "(b t) c h w -> b t c h w", t=t)
            aligned = list(self.alignment(features).unbind(1))
        outputs = []
        for index in range(seen, t):
            known = None if given is None else given.at(index)
            frame = frame_of(frames, b, index)
            outputs.append(self._colorize(frame, aligned[index], state, known, (h, w)))
            state = outputs[-1].state
        return join_frames(outputs)

    def stream(
        self,
        frames: Iterable[Float[Tensor, "b 1 h w"]],
        references: EncodedReferences | Callable[[int], EncodedReferences],
        *,
        given: Mapping[int, GivenColors] | None = None,
        state: RecurrentState | None = None,
    ) -> Iterator[ColorOutput]:
        """Colour a shot frame by frame, in memory that does not grow with its length.

        Gives what `forward` gives, one frame (t = 1) at a time; a frame comes out once `neighbors` later ones are in.

        Args:
            frames: L/50 - 1 of one frame after another, all of one size.
            references: what `encode_references` made; where they change within a shot, a function that gives those for
                a frame number, counted from 0.
            given: known colours by frame number, counted from 0: ab/110, or `(ab, opaque)` where only the pixels of a
                mask `b 1 h w` are known and the others are left to the network. Looked up when its turn has come.
            state: of an output before, to go on from there; `frames` then begins with the `neighbors` frames before
                the first new one, as in `forward`.
        """
        k, size = self.config.neighbors, (0, 0)
        resumes = state is not None

        def encoded() -> Iterator[Frame]:
            nonlocal size
            for number, lightness in enumerate(frames):
                size = (lightness.shape[-2], lightness.shape[-1])
                yield self._encode(lightness, references(number) if callable(references) else references)

        windows = lookahead_windows(encoded(), k, resumes=resumes)
        for number, window in enumerate(windows, start=k if resumes else 0):
            aligned, known = None, None
            if self.alignment is not None:
                aligned = self.alignment.align(torch.stack([one.attended.features for one in window], dim=1))
            if given is not None and number in given:
                known = KnownColors.of(given[number])
            output = self._colorize(window[k], aligned, state, known, size)
            state = output.state
            yield output

    @abstractmethod
    def describe(self, lightness: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Features of unit length by which places of grey pictures are compared: the network's own eyes, alone.

        What they cost is the encoder's share of a frame, so that pictures can be retrieved by them, at a small size.

        Args:
            lightness: L/50 - 1, any height and width.

        Returns:
            Features of each place at H/8 (copying) or H/16 (paper), sides rounded up.
        """

    @abstractmethod
    def _encode_stills(
        self,
        stills: Sequence[Float[Tensor, "b 3 _h _w"]],
        masks: Sequence[Bool[Tensor, "b 1 _h _w"] | None],
    ) -> EncodedReferences:
        """Encode references that have been checked; what a mask hides has been filled from the rest."""

    @abstractmethod
    def _encode(self, lightness: Float[Tensor, "bt 1 h w"], references: EncodedReferences) -> Frame:
        """Encode frames, those of one clip next to each other, and bring the references' colour to them."""

    @abstractmethod
    def _reconstruct(
        self, frame: Frame, aligned: Float[Tensor, "b c h4 w4"] | None, state: RecurrentState | None
    ) -> tuple[Float[Tensor, "b 2 h w"], dict[str, Copy], RecurrentState]:
        """Reconstruct one frame after a state: its ab, the copies it was mixed from, and the state for the next."""

    def _remember(
        self,
        frame: Frame,  # noqa: ARG002 - for the networks
        state: RecurrentState,
        before: RecurrentState | None,  # noqa: ARG002
        known: Bool[Tensor, " b"] | None,  # noqa: ARG002 - in which samples the colours were given
    ) -> RecurrentState:
        """Complete the state after a frame whose ab is final."""
        return state

    def _noisy(self, attended: AttendedColor) -> AttendedColor:
        """Noise on deep features in training (N14)."""
        noise, features = self.config.feature_noise, attended.features
        if not self.training or noise == 0:
            return attended
        return attended._replace(
            features=features + noise * features.detach().std() * torch.randn_like(features)
        )

    def _colorize(
        self,
        frame: Frame,
        aligned: Float[Tensor, "b c h4 w4"] | None,
        before: RecurrentState | None,
        known: KnownColors | None,
        size: tuple[int, int],
    ) -> ColorOutput:
        """Colour one frame, and crop it to its own size (h, w)."""
        ab, copies, state = self._reconstruct(frame, aligned, before)
        mask = None
        if known is not None:
            mask, ab = known.mask, known.over(ab)
            state = state._replace(ab=known.over(state.ab))
        confidence = F.interpolate(
            frame.attended.confidence,
            size=tuple(frame.lightness.shape[-2:]),
            mode="bilinear",
            align_corners=False,
        )
        return ColorOutput(
            crop(ab, size)[:, None],
            crop(confidence, size)[:, None],
            {name: Copy(*(crop(part, size)[:, None] for part in copy)) for name, copy in copies.items()},
            self._remember(frame, state, before, mask),
        )
