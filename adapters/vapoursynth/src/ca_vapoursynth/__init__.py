"""A VapourSynth function that colourises a black-and-white clip from a few colour stills."""

from ca_vapoursynth.clips import colorize

__all__ = ["colorize"]
