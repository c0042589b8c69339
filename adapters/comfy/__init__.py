"""The folder as ComfyUI loads it from custom_nodes; the nodes themselves are the installed package ca_comfy."""

from ca_comfy import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
