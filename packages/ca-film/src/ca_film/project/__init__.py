"""Project: a film in work, what a restorer decides about it, and the colours that follow from it."""

from ca_film.project.advice import next_frame
from ca_film.project.coloring import Colorist, FrameColors, color_stretches, read_still
from ca_film.project.export import CHANGED, colorize_project, survey_project
from ca_film.project.folder import SUFFIX, ProjectFolder, is_project, project_folder
from ca_film.project.model import ALL_SHOTS, OWN_SHOT, Project, Shot, Still
from ca_film.project.painting import (
    Stroke,
    load_strokes,
    paint,
    save_strokes,
    stroke_from,
    write_still,
)
from ca_film.project.stretches import Stretch
from ca_film.project.viewer import Viewer, upright_lightness

__all__ = [
    "ALL_SHOTS",
    "CHANGED",
    "OWN_SHOT",
    "SUFFIX",
    "Colorist",
    "FrameColors",
    "Project",
    "ProjectFolder",
    "Shot",
    "Still",
    "Stretch",
    "Stroke",
    "Viewer",
    "color_stretches",
    "colorize_project",
    "is_project",
    "load_strokes",
    "next_frame",
    "paint",
    "project_folder",
    "read_still",
    "save_strokes",
    "stroke_from",
    "survey_project",
    "upright_lightness",
    "write_still",
]
