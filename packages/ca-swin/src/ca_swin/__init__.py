"""Recurrent Swin reconstruction: soft-mask fusion, window attention blocks, decoders."""

from ca_swin.copying import CopyReconstruction, CopyResult, References, convex_upsample
from ca_swin.decoder import ColorDecoder
from ca_swin.encoder import StateEncoder
from ca_swin.fusion import SoftMaskFusion
from ca_swin.recurrent import Keyframe, Recollection, RecurrentReconstruction, RecurrentState
from ca_swin.swin import SwinReconstruction
from ca_swin.unet import UNetReconstruction

__all__ = [
    "ColorDecoder",
    "CopyReconstruction",
    "CopyResult",
    "Keyframe",
    "Recollection",
    "RecurrentReconstruction",
    "RecurrentState",
    "References",
    "SoftMaskFusion",
    "StateEncoder",
    "SwinReconstruction",
    "UNetReconstruction",
    "convex_upsample",
]
