"""Both networks from outside: references in once, lightness in frame after frame, ab out.

`PaperNet` and `CopyNet` fill in how references and frames are encoded and how a frame is reconstructed.
"""

# The hub's mixin fills a dataclass it finds in an annotation, and drops the fields it does not know; annotations that
# are only names make it hand over the plain values instead.
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    EncodedReferences,
    Frame,
    Given,
    KnownColors,
    crop,
    frame_of,
    join_frames,
    lookahead_windows,
    pad,
)
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
        self, references: Float[Tensor, "b m 3 h w"] | Sequence[Float[Tensor, "b 3 _h _w"]]
    ) -> EncodedReferences:
        """Encode references for the colour transfer; needed once per shot.

        Args:
            references: normalized Lab stills, any number from 1, each of any size.

        Raises:
            ModelError: if there is none or one is not `b 3 h w`.
        """
        stills = list(references.unbind(1)) if isinstance(references, Tensor) else list(references)
        if not stills:
            raise ModelError("references: expected at least one colour still, got none")
        for index, still in enumerate(stills):
            if still.ndim != 4 or still.shape[1] != 3:
                raise ModelError(
                    f"references[{index}]: expected (b, 3, h, w) normalized Lab, got {tuple(still.shape)}"
                )
        return self._encode_stills(stills)

    def forward(
        self,
        lightness: Float[Tensor, "b t 1 h w"],
        references: Float[Tensor, "b m 3 h2 w2"] | Sequence[Float[Tensor, "b 3 _h _w"]],
        *,
        given: Given | None = None,
        state: RecurrentState | None = None,
    ) -> ColorOutput:
        """Colour a clip.

        Args:
            lightness: L/50 - 1 of each frame, any height and width.
            references: normalized Lab stills, any number from 1 and of any size.
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
            rearrange(lightness, "b t 1 h w -> (b t) 1 h w"), self.encode_references(references)
        )
        aligned: list[Tensor | None] = [None] * t
        if self.alignment is not None:
            features = rearrange(frames.attended.features, "(b t) c h w -> b t c h w", t=t)
            aligned = list(self.alignment(features).unbind(1))
        outputs = []
        for index in range(seen, t):
            known = None if given is None else (given.ab[:, index], given.mask[:, index])
            frame = frame_of(frames, b, index)
            outputs.append(self._colorize(frame, aligned[index], state, known, (h, w)))
            state = outputs[-1].state
        return join_frames(outputs)

    def stream(
        self,
        frames: Iterable[Float[Tensor, "b 1 h w"]],
        references: EncodedReferences,
        *,
        given: Mapping[int, Float[Tensor, "b 2 h w"]] | None = None,
        state: RecurrentState | None = None,
    ) -> Iterator[ColorOutput]:
        """Colour a shot frame by frame, in memory that does not grow with its length.

        Gives what `forward` gives, one frame (t = 1) at a time; a frame comes out once `neighbors` later ones are in.

        Args:
            frames: L/50 - 1 of one frame after another, all of one size.
            references: what `encode_references` made.
            given: known colours by frame number, counted from 0.
            state: of an output before, to go on from there; `frames` then begins with the `neighbors` frames before
                the first new one, as in `forward`.
        """
        k, size = self.config.neighbors, (0, 0)
        resumes = state is not None

        def encoded() -> Iterator[Frame]:
            nonlocal size
            for lightness in frames:
                size = (lightness.shape[-2], lightness.shape[-1])
                yield self._encode(lightness, references)

        windows = lookahead_windows(encoded(), k, resumes=resumes)
        for number, window in enumerate(windows, start=k if resumes else 0):
            aligned, known = None, None
            if self.alignment is not None:
                aligned = self.alignment.align(torch.stack([one.attended.features for one in window], dim=1))
            if given is not None and number in given:
                ab = given[number]
                known = ab, torch.ones(len(ab), dtype=torch.bool, device=ab.device)
            output = self._colorize(window[k], aligned, state, known, size)
            state = output.state
            yield output

    @abstractmethod
    def _encode_stills(self, stills: Sequence[Float[Tensor, "b 3 _h _w"]]) -> EncodedReferences:
        """Encode references that have been checked."""

    @abstractmethod
    def _encode(self, lightness: Float[Tensor, "bt 1 h w"], references: EncodedReferences) -> Frame:
        """Encode frames, those of one clip next to each other, and bring the references' colour to them."""

    @abstractmethod
    def _reconstruct(
        self, frame: Frame, aligned: Float[Tensor, "b c h4 w4"] | None, state: RecurrentState | None
    ) -> tuple[Float[Tensor, "b 2 h w"], dict[str, Float[Tensor, "b 2 h w"]], RecurrentState]:
        """Reconstruct one frame after a state: its ab, the copies a loss may supervise, and the state for the next."""

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
            mask, colors = known[1], pad(known[0]).to(state.ab.dtype)
            where = mask[:, None, None, None]
            ab = torch.where(where, colors, ab)
            state = state._replace(ab=torch.where(where, colors, state.ab))
        confidence = F.interpolate(
            frame.attended.confidence,
            size=tuple(frame.lightness.shape[-2:]),
            mode="bilinear",
            align_corners=False,
        )
        return ColorOutput(
            crop(ab, size)[:, None],
            crop(confidence, size)[:, None],
            {name: crop(copy, size)[:, None] for name, copy in copies.items()},
            self._remember(frame, state, before, mask),
        )
