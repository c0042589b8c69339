"""The command line that colourises black-and-white films from a few colour stills."""

from ca_infer.cli import main

__all__ = ["main"]
