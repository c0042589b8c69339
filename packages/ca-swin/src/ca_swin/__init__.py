"""Recurrent Swin reconstruction: soft-mask fusion, window attention blocks, decoders."""

from ca_swin.decoder import ColorDecoder
from ca_swin.encoder import StateEncoder
from ca_swin.fusion import SoftMaskFusion
from ca_swin.recurrent import RecurrentReconstruction
from ca_swin.swin import SwinReconstruction
from ca_swin.unet import UNetReconstruction
from ca_swin.windows import WindowBlock

__all__ = [
    "ColorDecoder",
    "RecurrentReconstruction",
    "SoftMaskFusion",
    "StateEncoder",
    "SwinReconstruction",
    "UNetReconstruction",
    "WindowBlock",
]
