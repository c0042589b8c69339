"""Source-reference attention for colourising video from reference stills."""

__all__: list[str] = []
