"""Colour conversion, clips, synthetic clips, augmentation and video in and out."""

__all__: list[str] = []
