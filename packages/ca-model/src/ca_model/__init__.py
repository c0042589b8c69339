"""ColorAlignNet composed: configuration, presets, checkpoints and shipped weights."""

from ca_swin import Keyframe, RecurrentState

from ca_model.checkpoint import (
    create_model,
    find_weights,
    load_model,
    read_metadata,
    save_model,
    shipped_weights,
    weights_hash,
)
from ca_model.config import PRESETS, ColorAlignConfig, preset
from ca_model.cost import Cost, count_cost, count_parameters, peak_memory, reset_peak_memory
from ca_model.device import choose_device
from ca_model.errors import ModelError
from ca_model.network import ColorAlignNet, ColorOutput, EncodedReferences, Given
from ca_model.semantic import SemanticEncoder

__all__ = [
    "PRESETS",
    "ColorAlignConfig",
    "ColorAlignNet",
    "ColorOutput",
    "Cost",
    "EncodedReferences",
    "Given",
    "Keyframe",
    "ModelError",
    "RecurrentState",
    "SemanticEncoder",
    "choose_device",
    "count_cost",
    "count_parameters",
    "create_model",
    "find_weights",
    "load_model",
    "peak_memory",
    "preset",
    "read_metadata",
    "reset_peak_memory",
    "save_model",
    "shipped_weights",
    "weights_hash",
]
