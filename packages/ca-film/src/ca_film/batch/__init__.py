"""Batch: many films, each coloured as `colorize` does it, on the devices that are here."""

from ca_film.batch.devices import Place, parse_devices
from ca_film.batch.film_list import read_film_list
from ca_film.batch.films import FILM_SUFFIXES, BatchFilm, find_films
from ca_film.batch.progress import BatchProgress
from ca_film.batch.record import DONE, FAILED, WAITING, BatchRecord, Entry
from ca_film.batch.run import color_batch
from ca_film.batch.watching import Watch

__all__ = [
    "DONE",
    "FAILED",
    "FILM_SUFFIXES",
    "WAITING",
    "BatchFilm",
    "BatchProgress",
    "BatchRecord",
    "Entry",
    "Place",
    "Watch",
    "color_batch",
    "find_films",
    "parse_devices",
    "read_film_list",
]
