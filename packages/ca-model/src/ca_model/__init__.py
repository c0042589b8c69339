"""ColorAlignNet composed: configuration, presets, checkpoints and shipped weights."""

__all__: list[str] = []
