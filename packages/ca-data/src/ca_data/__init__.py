"""Colour conversion, clips, reference stills, training samples, synthetic clips and reading of films."""

from ca_data.augment import AugmentConfig
from ca_data.cache import ClipCache
from ca_data.chroma import upsample_chroma
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
from ca_data.dataset import ClipDataset, Sample
from ca_data.davis import davis_clips
from ca_data.files import write_atomically
from ca_data.film_color import chroma_for_luma, luma_to_lightness
from ca_data.frames import Clip, FrameFolder, list_clips, write_frames
from ca_data.images import natural_order, read_image
from ca_data.painting import spread_color
from ca_data.prepared import EvaluationSet, VideoSource, changed_clips, video_sources
from ca_data.references import ReferenceConfig
from ca_data.resize import parse_size, resize
from ca_data.seeding import sample_generator
from ca_data.stills import STILL_PIXELS, ReferenceStill, list_references, load_reference
from ca_data.synthetic import SyntheticClip, synthetic_clip
from ca_data.transfer import srgb_from_film
from ca_data.video import VideoError, VideoInfo, choose_stream, file_url, open_video, probe
from ca_data.video_reader import FilmFrame, VideoReader, plane
from ca_data.video_seek import SeekingReader
from ca_data.yuv import (
    YuvCoding,
    chroma_from_codes,
    chroma_to_codes,
    luma_from_codes,
    luma_to_codes,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)

__all__ = [
    "AB_SCALE",
    "LIGHTNESS_SCALE",
    "STILL_PIXELS",
    "AugmentConfig",
    "Clip",
    "ClipCache",
    "ClipDataset",
    "EvaluationSet",
    "FilmFrame",
    "FrameFolder",
    "ReferenceConfig",
    "ReferenceStill",
    "Sample",
    "SeekingReader",
    "SyntheticClip",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoSource",
    "YuvCoding",
    "changed_clips",
    "choose_stream",
    "chroma_for_luma",
    "chroma_from_codes",
    "chroma_to_codes",
    "davis_clips",
    "denormalize_lab",
    "file_url",
    "lab_to_rgb",
    "list_clips",
    "list_references",
    "load_reference",
    "luma_from_codes",
    "luma_to_codes",
    "luma_to_lightness",
    "natural_order",
    "network_to_rgb",
    "normalize_lab",
    "open_video",
    "parse_size",
    "plane",
    "probe",
    "read_image",
    "resize",
    "rgb_to_lab",
    "rgb_to_network",
    "rgb_to_ycbcr",
    "sample_generator",
    "spread_color",
    "srgb_from_film",
    "synthetic_clip",
    "to_uint8",
    "upsample_chroma",
    "video_sources",
    "write_atomically",
    "write_frames",
    "ycbcr_to_rgb",
]
