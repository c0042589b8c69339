"""Losses for colourisation: L1, VGG perceptual, patch-adversarial and their weighted total."""

__all__: list[str] = []
