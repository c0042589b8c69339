"""Colourise black-and-white films from a few colour stills."""

from ca_film.colorize import Result, colorize
from ca_film.errors import Cancelled, FilmError
from ca_film.network.weights import LoadedModel, choose_device, default_weights, load_weights
from ca_film.options import ColorizeOptions, Look, StillBinding, StreamChoice, as_options
from ca_film.output.sheets import lacking
from ca_film.pictures import ColoredPicture, color_pictures
from ca_film.plan import Plan, ShotPlan, plan
from ca_film.preview import Preview, preview
from ca_film.progress import Progress
from ca_film.project import colorize_project, is_project
from ca_film.session import open_film
from ca_film.source.film import Film, FilmFormat, Frame

__all__ = [
    "Cancelled",
    "ColoredPicture",
    "ColorizeOptions",
    "Film",
    "FilmError",
    "FilmFormat",
    "Frame",
    "LoadedModel",
    "Look",
    "Plan",
    "Preview",
    "Progress",
    "Result",
    "ShotPlan",
    "StillBinding",
    "StreamChoice",
    "as_options",
    "choose_device",
    "color_pictures",
    "colorize",
    "colorize_project",
    "default_weights",
    "is_project",
    "lacking",
    "load_weights",
    "open_film",
    "plan",
    "preview",
]
