"""The studio: look at a grey film, paint a few strokes, colour it again, in the browser."""

from ca_studio.cli import main

__all__ = ["main"]
