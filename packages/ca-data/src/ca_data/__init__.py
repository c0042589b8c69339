"""Colour conversion, clips, synthetic clips, augmentation and video in and out."""

from ca_data.augment import AugmentConfig, add_lightness_noise, choose_window, turn_color, weaken_color
from ca_data.cache import ClipCache
from ca_data.color import (
    AB_SCALE,
    LIGHTNESS_SCALE,
    denormalize_lab,
    lab_to_rgb,
    network_to_rgb,
    normalize_lab,
    rgb_to_lab,
    rgb_to_network,
    to_uint8,
)
from ca_data.dataset import ClipDataset, Sample, SyntheticDataset
from ca_data.frames import Clip, FrameFolder, list_clips, write_frames
from ca_data.pictures import read_picture
from ca_data.references import ReferenceConfig, choose_references, choose_start
from ca_data.resize import resize
from ca_data.seeding import sample_generator
from ca_data.stills import ReferenceStill, load_references
from ca_data.synthetic import SyntheticClip, synthetic_clip

__all__ = [
    "AB_SCALE",
    "LIGHTNESS_SCALE",
    "AugmentConfig",
    "Clip",
    "ClipCache",
    "ClipDataset",
    "FrameFolder",
    "ReferenceConfig",
    "ReferenceStill",
    "Sample",
    "SyntheticClip",
    "SyntheticDataset",
    "add_lightness_noise",
    "choose_references",
    "choose_start",
    "choose_window",
    "denormalize_lab",
    "lab_to_rgb",
    "list_clips",
    "load_references",
    "network_to_rgb",
    "normalize_lab",
    "read_picture",
    "resize",
    "rgb_to_lab",
    "rgb_to_network",
    "sample_generator",
    "synthetic_clip",
    "to_uint8",
    "turn_color",
    "weaken_color",
    "write_frames",
]
