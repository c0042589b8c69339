"""Colourise black-and-white films from a few colour stills."""

__all__: list[str] = []
