"""The network that copies colours, `base` and `tiny`: our departure from the paper.

Places are matched at H/8 between lightness features of one shared encoder; the colour transfer carries the references'
ab; the previous frame's ab is carried along the motion at full resolution; the decoder mixes both copies and corrects
them. There is no FlexAlign over later frames. docs/architecture.md has the reasons and the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import torch
import torch.nn.functional as F
from ca_align import Atlas, ReferenceMatching
from ca_attention import AdaptiveInstanceNorm, SourceReferenceAttention
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ca_model.config import CopyConfig
from ca_model.copies import References
from ca_model.encoder import PyramidEncoder
from ca_model.frames import Copy, EncodedReferences, Frame, pad
from ca_model.network import ColorAlignNet
from ca_model.partial import covered_cells
from ca_model.reconstruction import CopyReconstruction
from ca_model.semantic import SemanticEncoder
from ca_model.state import Keyframe, Recollection, RecurrentState


class CopyNet(ColorAlignNet):
    """The copying network: ab itself goes from the references and from earlier frames to the decoder, which mixes it.

    Args:
        config: what to build.

    Attributes:
        context, center: bring the encoder's features at H/16 to those at H/8, and centre their channels.
        semantic, meaning: features of an image classifier, and what they add to our own; None without.
        matching: of places with the references, one by one; None without an attention, whose features it compares.
    """

    configured_by = CopyConfig
    config: CopyConfig
    alignment: None
    reconstruction: CopyReconstruction

    def __init__(self, config: CopyConfig) -> None:
        super().__init__(config)
        matched = config.widths[2]
        self.encoder = PyramidEncoder(1, config.widths)
        self.reference_encoder = PyramidEncoder(3, config.widths[:3])
        self.context = nn.Conv2d(config.widths[3], matched, 1)
        # Centred channels: after a rectifier all cosines would start near 1.
        self.center = nn.LayerNorm(matched)
        self.semantic = SemanticEncoder() if config.semantic else None
        compared = matched
        if self.semantic is not None:
            compared += self.semantic.channels
            self.meaning = nn.Conv2d(self.semantic.channels, matched, 1)
        if config.attends:
            self.transfer = SourceReferenceAttention(
                matched, query_channels=compared, heads=config.heads, head_channels=config.head_channels
            )
        else:
            self.transfer = AdaptiveInstanceNorm(matched, heads=config.heads)
        self.matching = ReferenceMatching() if config.attends else None
        self.alignment = None
        self.reconstruction = CopyReconstruction(config)

    @property
    def _attention(self) -> SourceReferenceAttention:
        # No isinstance: gradient checkpointing wraps the module.
        return cast(SourceReferenceAttention, self.transfer)

    def _encode_stills(
        self,
        stills: Sequence[Float[Tensor, "b 3 _h _w"]],
        masks: Sequence[Bool[Tensor, "b 1 _h _w"] | None],
    ) -> EncodedReferences:
        padded = [pad(still) for still in stills]
        seen = padded + [pad(_zoomed(still, zoom)) for zoom in self.config.zooms for still in stills]

        def thin(maps: list[Float[Tensor, "b c _h _w"]]) -> list[Float[Tensor, "b c _h2 _w2"]]:
            return maps[: len(stills)] + [_every_second(one) for one in maps[len(stills) :]]

        colors = thin([self.reference_encoder(still)[-1] for still in seen])
        carried = thin([F.avg_pool2d(still[:, 1:], 8) for still in seen])
        cells = [_covered(mask, 1.0) for mask in masks]
        enlarged = [_covered(mask, zoom) for zoom in self.config.zooms for mask in masks]
        valid = cells + [None if one is None else _every_second(one) for one in enlarged]
        if not self.config.attends:
            return EncodedReferences(self.transfer.encode(colors, carried=carried, valid=valid), None)
        keys = [self._features(still[:, :1], self.encoder(still[:, :1]))[1] for still in seen]
        with torch.no_grad():
            found = [self._attention.descriptors(key.detach()) for key in keys[: len(stills)]]
        atlas = Atlas.of(
            [(still[:, :1], still[:, 1:], one) for still, one in zip(padded, found, strict=True)], cells
        )
        tokens = self.transfer.encode(colors, keys=thin(keys), carried=carried, valid=valid)
        return EncodedReferences(tokens, atlas)

    @torch.no_grad()
    def describe(self, lightness: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b d h8 w8"]:
        lightness = pad(lightness)
        compared = self._features(lightness, self.encoder(lightness))[1]
        return self._attention.descriptors(compared) if self.config.attends else F.normalize(compared, dim=1)

    def _features(
        self, lightness: Float[Tensor, "b 1 h w"], maps: list[Float[Tensor, "b _c _h _w"]]
    ) -> tuple[Float[Tensor, "b c h8 w8"], Float[Tensor, "b q h8 w8"]]:
        """Features of a grey picture at H/8, and what is compared of them."""
        context = F.interpolate(self.context(maps[3]), scale_factor=2, mode="bilinear", align_corners=False)
        x, meaning = maps[2] + context, []
        if self.semantic is not None:
            meaning = [self.semantic(lightness)]
            x = x + self.meaning(meaning[0])
        x = rearrange(self.center(rearrange(x, "b c h w -> b h w c")), "b h w c -> b c h w")
        return x, torch.cat([x, *meaning], dim=1)

    def _encode(self, lightness: Float[Tensor, "bt 1 h w"], references: EncodedReferences) -> Frame:
        lightness = pad(lightness)
        maps = self.encoder(lightness)
        source, compared = self._features(lightness, maps)
        if self.matching is None:
            return Frame(lightness, maps, self._noisy(self.transfer(source, references.tokens)))
        attended = self.transfer(source, references.tokens, query=compared)
        assert attended.descriptors is not None
        descriptors = attended.descriptors.detach()
        assert references.atlas is not None  # made by the same network
        atlas = references.atlas.repeat(len(lightness) // len(references.atlas.lightness))
        matched = self.matching(lightness, descriptors, atlas)
        return Frame(lightness, maps, self._noisy(attended), descriptors, matched)

    def _reconstruct(
        self, frame: Frame, aligned: Float[Tensor, "b c h4 w4"] | None, state: RecurrentState | None
    ) -> tuple[Float[Tensor, "b 2 h w"], dict[str, Copy], RecurrentState]:
        del aligned  # there is no alignment over later frames
        found, recalled = frame.attended, None
        assert found.carried is not None
        if state is not None and state.recollection is not None:
            assert frame.descriptors is not None
            recalled = self._attention.recall(
                frame.descriptors, state.recollection.descriptors, state.recollection.ab
            )
        references = References(
            found.features, found.carried, found.similarity, frame.matched, frame.descriptors, recalled
        )
        half, quarter = frame.maps[:2]
        result, after = self.reconstruction.step(half, quarter, frame.lightness, references, state)
        return result.ab, result.copies, after

    def _remember(
        self,
        frame: Frame,
        state: RecurrentState,
        before: RecurrentState | None,
        known: Bool[Tensor, " b"] | None,
    ) -> RecurrentState:
        """A frame whose colours are known is the new keyframe, and is recalled from then on."""
        if known is not None and state.keyframe is not None:
            here = Keyframe.at(frame.lightness, state.ab)
            state = state._replace(keyframe=here.where(known, state.keyframe))
        if not self.config.recalls:
            return state
        assert frame.descriptors is not None
        now = Recollection(
            frame.descriptors,
            F.avg_pool2d(state.ab.detach(), 8),
            torch.zeros(len(state.ab), device=state.ab.device),
        )
        earlier = None if before is None else before.recollection
        if earlier is None:
            return state._replace(recollection=now)
        chosen = earlier.age + 1 >= self.config.recall
        return state._replace(recollection=earlier.older(now, chosen if known is None else chosen | known))


def _zoomed(still: Float[Tensor, "b c h w"], zoom: float) -> Float[Tensor, "b c h2 w2"]:
    """A still enlarged or reduced: what it shows may be nearer or farther in the film."""
    # Rounded half up in whole numbers, which a graph for stills of any size can hold.
    ratio = Fraction(zoom).limit_denominator(1000)
    size = [
        max(1, (2 * side * ratio.numerator + ratio.denominator) // (2 * ratio.denominator))
        for side in still.shape[-2:]
    ]
    return F.interpolate(still, size=size, mode="bilinear", align_corners=False, antialias=True)


def _covered(mask: Bool[Tensor, "b 1 h w"] | None, zoom: float) -> Bool[Tensor, "b 1 h8 w8"] | None:
    """The cells at H/8 that count, of a still enlarged so many times; None where all do."""
    if mask is None:
        return None
    share = mask.float()
    return covered_cells(pad(share if zoom == 1 else _zoomed(share, zoom)), 8)


def _every_second(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 n"]:
    """Half of the places, as the black squares of a chessboard; order and place mean nothing to an attention."""
    # By slices: a graph for stills of any size cannot tell how many places a mask leaves.
    return torch.cat([x[:, :, ::2, ::2].flatten(2), x[:, :, 1::2, 1::2].flatten(2)], dim=2)[:, :, None]
