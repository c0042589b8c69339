"""ComfyUI nodes that colourise black-and-white film from a few colour stills."""

from ca_comfy.nodes import ColorFilm, ColorImages, LoadFilm

NODE_CLASS_MAPPINGS = {
    "ColorAlignLoadFilm": LoadFilm,
    "ColorAlignColorImages": ColorImages,
    "ColorAlignColorFilm": ColorFilm,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "ColorAlignLoadFilm": "Load Film (ColorAlign)",
    "ColorAlignColorImages": "Colour Images (ColorAlign)",
    "ColorAlignColorFilm": "Colour Film File (ColorAlign)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "ColorFilm", "ColorImages", "LoadFilm"]
