"""Colour conversion, clips, synthetic clips, augmentation and video in and out."""

from ca_data.augment import (
    AugmentConfig,
    add_lightness_noise,
    choose_window,
    turn_color,
    weaken_color,
    wear_color,
)
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
from ca_data.dataset import ClipDataset, Sample, SyntheticDataset
from ca_data.davis import davis_clips, davis_splits
from ca_data.film_color import chroma_for_luma, film_chroma, fit_chroma, luma_to_lightness
from ca_data.frames import Clip, FrameFolder, list_clips, write_frames
from ca_data.painting import spread_color
from ca_data.pictures import read_picture
from ca_data.prepared import EvaluationSet, PreparedClip, VideoSource, changed_clips, video_sources
from ca_data.references import ReferenceConfig, choose_references, choose_start
from ca_data.resize import resize
from ca_data.seeding import sample_generator
from ca_data.stills import ReferenceStill, load_references
from ca_data.synthetic import SyntheticClip, synthetic_clip
from ca_data.transfer import film_from_srgb, srgb_from_film
from ca_data.video import StreamInfo, VideoError, VideoInfo, choose_stream, open_video, probe
from ca_data.video_reader import FilmFrame, VideoClip, VideoReader, plane
from ca_data.video_seek import SeekingReader
from ca_data.video_writer import VideoWriter
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
    "AugmentConfig",
    "Clip",
    "ClipCache",
    "ClipDataset",
    "EvaluationSet",
    "FilmFrame",
    "FrameFolder",
    "PreparedClip",
    "ReferenceConfig",
    "ReferenceStill",
    "Sample",
    "SeekingReader",
    "StreamInfo",
    "SyntheticClip",
    "SyntheticDataset",
    "VideoClip",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoSource",
    "VideoWriter",
    "YuvCoding",
    "add_lightness_noise",
    "changed_clips",
    "choose_references",
    "choose_start",
    "choose_stream",
    "choose_window",
    "chroma_for_luma",
    "chroma_from_codes",
    "chroma_to_codes",
    "davis_clips",
    "davis_splits",
    "denormalize_lab",
    "film_chroma",
    "film_from_srgb",
    "fit_chroma",
    "lab_to_rgb",
    "list_clips",
    "load_references",
    "luma_from_codes",
    "luma_to_codes",
    "luma_to_lightness",
    "network_to_rgb",
    "normalize_lab",
    "open_video",
    "plane",
    "probe",
    "read_picture",
    "resize",
    "rgb_to_lab",
    "rgb_to_network",
    "rgb_to_ycbcr",
    "sample_generator",
    "spread_color",
    "srgb_from_film",
    "synthetic_clip",
    "to_uint8",
    "turn_color",
    "upsample_chroma",
    "video_sources",
    "weaken_color",
    "wear_color",
    "write_frames",
    "ycbcr_to_rgb",
]
