"""Recurrent Swin reconstruction: soft-mask fusion, window attention blocks, decoders."""

__all__: list[str] = []
