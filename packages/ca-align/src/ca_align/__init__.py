"""Pyramid deformable alignment of video features, without a CUDA extension to build."""

from ca_align.align import DeformAlign
from ca_align.deform import DeformConv2d, deform_conv2d
from ca_align.flex import FlexAlign
from ca_align.flow import estimate_flow, warp
from ca_align.matching import match_features
from ca_align.propagate import (
    Atlas,
    FlowPropagation,
    KeyframeTracking,
    Matched,
    Propagated,
    ReferenceMatching,
    StillPropagation,
    Tracked,
    carry_features,
)

__all__ = [
    "Atlas",
    "DeformAlign",
    "DeformConv2d",
    "FlexAlign",
    "FlowPropagation",
    "KeyframeTracking",
    "Matched",
    "Propagated",
    "ReferenceMatching",
    "StillPropagation",
    "Tracked",
    "carry_features",
    "deform_conv2d",
    "estimate_flow",
    "match_features",
    "warp",
]
