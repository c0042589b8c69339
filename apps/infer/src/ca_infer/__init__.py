"""Colourise black-and-white films from a few colour stills."""

from ca_infer.coloring import Result, colorize
from ca_infer.errors import InferError
from ca_infer.options import ColorizeOptions

__all__ = ["ColorizeOptions", "InferError", "Result", "colorize"]
