"""Train, evaluate and ablate ColorAlignNet."""

__all__: list[str] = []
