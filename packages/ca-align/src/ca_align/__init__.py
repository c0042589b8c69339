"""Pyramid deformable alignment of video features, without a CUDA extension to build."""

__all__: list[str] = []
