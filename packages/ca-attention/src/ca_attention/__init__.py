"""Source-reference attention for colourising video from reference stills."""

from ca_attention.adain import AdaptiveInstanceNorm
from ca_attention.attention import SourceReferenceAttention
from ca_attention.tokens import AttendedColor, ReferenceTokens

__all__ = ["AdaptiveInstanceNorm", "AttendedColor", "ReferenceTokens", "SourceReferenceAttention"]
