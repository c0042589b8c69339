"""The paper's network: ColorPrep, FlexAlign and ReFrameNet (Fig. 1).

Departure: E1 also hands its features at H/2 to the decoder, which the paper does not draw; widths, depths, heads and
windows, which it does not give, are ours (N10).
"""

from __future__ import annotations

from collections.abc import Sequence

from ca_align import DeformAlign, FlexAlign
from ca_attention import AdaptiveInstanceNorm, SourceReferenceAttention
from ca_swin import ColorDecoder, RecurrentReconstruction, SoftMaskFusion, StateEncoder
from jaxtyping import Float
from torch import Tensor

from ca_model.body import make_body
from ca_model.config import PaperConfig
from ca_model.encoder import PyramidEncoder
from ca_model.frames import EncodedReferences, Frame, pad
from ca_model.network import ColorAlignNet
from ca_model.state import RecurrentState


class PaperNet(ColorAlignNet):
    """The paper's network, which mixes features and paints every colour anew from them.

    The colour transfer works at H/16 (Eq. 1), FlexAlign fuses the neighbouring frames at H/4 (Eq. 2-5), the recurrent
    Swin reconstruction mixes in the previous output as a temporal prior (Eq. 6-8).

    Args:
        config: what to build.
    """

    configured_by = PaperConfig
    config: PaperConfig
    alignment: FlexAlign
    reconstruction: RecurrentReconstruction

    def __init__(self, config: PaperConfig) -> None:
        super().__init__(config)
        deep = config.widths[3]
        self.encoder = PyramidEncoder(1, config.widths)
        self.reference_encoder = PyramidEncoder(3, config.widths)
        if config.color_transfer == "attention":
            self.transfer = SourceReferenceAttention(
                deep, heads=config.heads, head_channels=config.head_channels
            )
        else:
            self.transfer = AdaptiveInstanceNorm(deep, heads=config.heads)
        self.alignment = FlexAlign(
            deep,
            out_channels=config.width,
            neighbors=config.neighbors,
            offset_groups=config.offset_groups,
            modulated=config.modulated,
            prior=config.temporal_prior,
            alignment=config.alignment,
        )
        self.reconstruction = RecurrentReconstruction(
            DeformAlign(config.width, offset_groups=config.offset_groups, modulated=config.modulated),
            make_body(config, config.width),
            StateEncoder(config.width),
            SoftMaskFusion(config.width),
            ColorDecoder(config.width, config.widths[0]),
        )

    def _encode_stills(self, stills: Sequence[Float[Tensor, "b 3 _h _w"]]) -> EncodedReferences:
        colors = [self.reference_encoder(pad(still))[-1] for still in stills]
        return EncodedReferences(self.transfer.encode(colors), None)

    def _encode(self, lightness: Float[Tensor, "bt 1 h w"], references: EncodedReferences) -> Frame:
        lightness = pad(lightness)
        maps = self.encoder(lightness)
        return Frame(lightness, maps, self._noisy(self.transfer(maps[3], references.tokens)))

    def _reconstruct(
        self, frame: Frame, aligned: Float[Tensor, "b c h4 w4"] | None, state: RecurrentState | None
    ) -> tuple[Float[Tensor, "b 2 h w"], dict[str, Float[Tensor, "b 2 h w"]], RecurrentState]:
        assert aligned is not None  # there is an alignment
        previous = None if state is None else (state.lightness, state.ab)
        ab = self.reconstruction.step(aligned, frame.maps[0], frame.lightness, previous)
        return ab, {}, RecurrentState(frame.lightness, ab)
