"""Devices of a batch: how many films are in work at a time, and where each runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from ca_film.errors import FilmError
from ca_film.network.weights import choose_device

__all__ = ["Place", "parse_devices", "parse_kind"]


@dataclass(frozen=True)
class Place:
    """A place where one film at a time is coloured.

    Args:
        device: as torch knows it.
        threads: of the network on the CPU; 0 for torch's own choice.
    """

    device: str
    threads: int = 0


def parse_devices(text: str) -> list[Place]:
    """Places that `--devices` names.

    Args:
        text: `auto` (all CUDA devices, else MPS, else the CPU), or devices with commas between them: `cuda:0`, `mps`,
            `cpu`, and `cpu:N` for N films at a time on the CPU, which share its cores.

    Returns:
        The places.

    Raises:
        FilmError: if a device is unknown, or not there.

    Example:
        >>> [place.device for place in parse_devices("cpu:2")]
        ['cpu', 'cpu']
    """
    if text.strip().lower() == "auto":
        if torch.cuda.is_available():
            return [Place(f"cuda:{number}") for number in range(torch.cuda.device_count())]
        return [Place(choose_device("auto").type)]
    places: list[Place] = []
    for name in (part.strip().lower() for part in text.split(",")):
        kind, _, number = name.partition(":")
        if kind == "cpu":
            places += _on_cpu(text, number)
        else:
            places.append(Place(str(choose_device(name))))
    return places


def parse_kind(text: str) -> tuple[str, int | None]:
    """Kind of the devices of a cluster that `--devices` names, and how many of a local one are to be used.

    Args:
        text: `auto` (CUDA where there are GPUs), `cuda`, `cpu`, or `cpu:N` for N tasks at a time on this machine.

    Raises:
        FilmError: if it is something else; which device a task gets is the cluster's business.

    Example:
        >>> parse_kind("auto"), parse_kind("cpu:2")
        (('auto', None), ('cpu', 2))
    """
    kind, _, number = text.strip().lower().partition(":")
    if kind == "cpu":
        return kind, len(_on_cpu(text, number)) if number else None
    if kind in ("auto", "cuda") and not number:
        return kind, None
    raise FilmError(
        f"`devices` must be auto, cuda, cpu or cpu:N with `cluster`, got '{text}'; choose one of them"
    )


def _on_cpu(text: str, number: str) -> list[Place]:
    count = int(number) if number.isdigit() else 0 if number else 1
    if count < 1:
        raise FilmError(f"`devices` must name cpu:N with N of 1 or more, got '{text}'; write cpu:2")
    cores = os.cpu_count() or 1
    return [Place("cpu", 0 if count == 1 else max(1, cores // count))] * count
