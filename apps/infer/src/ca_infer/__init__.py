"""Colourise black-and-white films from a few colour stills."""

from ca_infer.coloring import ColorizeOptions, Result, colorize
from ca_infer.errors import InferError

__all__ = ["ColorizeOptions", "InferError", "Result", "colorize"]
