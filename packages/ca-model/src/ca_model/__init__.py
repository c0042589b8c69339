"""ColorAlignNet composed: both networks, presets, checkpoints, shipped weights, and one call that colours a clip."""

from ca_model.after_truth import AfterTruth, colorize_after_truth
from ca_model.checkpoint import (
    create_model,
    find_weights,
    load_model,
    read_metadata,
    save_model,
    shipped_weights,
    tensors_hash,
    weights_hash,
)
from ca_model.colorize import Prediction, colorize_clip
from ca_model.config import ColorAlignConfig, CopyConfig, PaperConfig
from ca_model.copy_net import CopyNet
from ca_model.cost import count_cost, count_parameters, peak_memory, reset_peak_memory
from ca_model.device import choose_device
from ca_model.errors import ModelError
from ca_model.frames import ColorOutput, Copy, EncodedReferences, Given, GivenColors
from ca_model.inference import for_inference
from ca_model.network import ColorAlignNet
from ca_model.paper_net import PaperNet
from ca_model.partial import fill_hidden
from ca_model.presets import PRESETS, preset
from ca_model.semantic import SemanticEncoder
from ca_model.state import RecurrentState
from ca_model.stepper import Stepper
from ca_model.streaming import FirstStep, NextStep, ReferenceStep, join_references
from ca_model.two_sided import backward_windows, blend_passes, colorize_both_ways

__all__ = [
    "PRESETS",
    "AfterTruth",
    "ColorAlignConfig",
    "ColorAlignNet",
    "ColorOutput",
    "Copy",
    "CopyConfig",
    "CopyNet",
    "EncodedReferences",
    "FirstStep",
    "Given",
    "GivenColors",
    "ModelError",
    "NextStep",
    "PaperConfig",
    "PaperNet",
    "Prediction",
    "RecurrentState",
    "ReferenceStep",
    "SemanticEncoder",
    "Stepper",
    "backward_windows",
    "blend_passes",
    "choose_device",
    "colorize_after_truth",
    "colorize_both_ways",
    "colorize_clip",
    "count_cost",
    "count_parameters",
    "create_model",
    "fill_hidden",
    "find_weights",
    "for_inference",
    "join_references",
    "load_model",
    "peak_memory",
    "preset",
    "read_metadata",
    "reset_peak_memory",
    "save_model",
    "shipped_weights",
    "tensors_hash",
    "weights_hash",
]
