"""References: colour stills made ready for the network, few at a time in memory however many there are."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from ca_data import (
    STILL_PIXELS,
    ReferenceStill,
    denormalize_lab,
    lab_to_rgb,
    list_references,
    load_reference,
    normalize_lab,
    resize,
    rgb_to_lab,
    rgb_to_ycbcr,
)
from ca_model import GivenColors, fill_hidden
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.options import StillBinding
from ca_film.source.geometry import network_size

__all__ = ["GRID", "PreparedStill", "Reference", "prepare_references"]

# Height and width of the grey versions by which a still is found in the film.
GRID = (18, 32)
# Stills held at the network's size.
_HELD = 16


@dataclass(frozen=True, eq=False)
class PreparedStill:
    """A still at the network's scale.

    Args:
        lab: `3 h w` network units; what is hidden continues what is opaque.
        opaque: the part that counts, `1 h w`; None where all of it does.
    """

    lab: Float[Tensor, "3 h w"]
    opaque: Bool[Tensor, "1 h w"] | None


@dataclass(frozen=True)
class Reference:
    """A still as the network takes it; with a frame number it is an anchored reference.

    Args:
        path: where it came from.
        frame: number of the film's frame that it is, or None.
        digest: of its pixels.
        size: height and width of the still as it was given.
        grey: the still in grey on a grid of 18 x 32, once by its L and once by its luma, and the share of each place
            that counts.
        opaque: share of it that counts.
        store: reads its pixels.
        binding: the parts of the film that it is for; None: all of it.
    """

    path: Path
    frame: int | None
    digest: str
    size: tuple[int, int]
    grey: Float[Tensor, "3 gh gw"]
    opaque: float
    store: _StillStore = field(repr=False, compare=False)
    binding: StillBinding | None = None

    def prepared(self) -> PreparedStill:
        """The still at the network's scale, read anew unless it was used a while ago."""
        return self.store.prepared(self.path, self.digest)

    def network_ab(self, size: tuple[int, int]) -> GivenColors:
        """Its colours at the network's size of the film; of a partial still with the pixels that count."""
        still = self.prepared()
        ab = resize(still.lab[1:], size)
        return ab if still.opaque is None else (ab, _shrunk(still.opaque, size))

    def full_ab(self, size: tuple[int, int]) -> tuple[Float[Tensor, "2 h w"], Float[Tensor, "1 h w"] | None]:
        """Its colours at another size, read anew from the file, and the share of each pixel that counts."""
        still = self.store.read(self.path, self.digest)
        ab = resize(normalize_lab(rgb_to_lab(_continued(still)))[1:], size)
        return ab, None if still.opaque is None else resize(still.opaque.float(), size).clamp(0.0, 1.0)


class _StillStore:
    """Reads stills, and holds the last few at the network's scale.

    Args:
        budget: height and width of the network's pixel budget.
        most_pixels: of a still.
    """

    def __init__(self, budget: tuple[int, int], most_pixels: int) -> None:
        self._budget, self._most_pixels = budget, most_pixels
        self._held: OrderedDict[Path, PreparedStill] = OrderedDict()
        # Decoder, network and renderer read in threads of their own.
        self._lock = threading.Lock()

    def take(self, path: Path, binding: StillBinding | None) -> Reference:
        """Read a still for the first time."""
        still = _read(path, self._most_pixels)
        prepared = self._hold(path, still)
        opaque = 1.0 if still.opaque is None else float(still.opaque.float().mean())
        frame = still.frame if binding is None or binding.frame is None else binding.frame
        size = (still.image.shape[1], still.image.shape[2])
        return Reference(path, frame, _digest(still), size, _grey_grid(prepared), opaque, self, binding)

    def read(self, path: Path, digest: str) -> ReferenceStill:
        """Read a still again.

        Raises:
            FilmError: if it is gone, or no longer what it was.
        """
        still = _read(path, self._most_pixels)
        if _digest(still) != digest:
            raise FilmError(f"reference {path} changed while the film was coloured; run the command again")
        return still

    def prepared(self, path: Path, digest: str) -> PreparedStill:
        """A still at the network's scale."""
        with self._lock:
            if path in self._held:
                self._held.move_to_end(path)
                return self._held[path]
        return self._hold(path, self.read(path, digest))

    def _hold(self, path: Path, still: ReferenceStill) -> PreparedStill:
        size = network_size((still.image.shape[1], still.image.shape[2]), self._budget)
        lab = normalize_lab(rgb_to_lab(resize(_continued(still), size)))
        prepared = PreparedStill(lab, None if still.opaque is None else _shrunk(still.opaque, size))
        with self._lock:
            self._held[path] = prepared
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return prepared


def prepare_references(
    paths: Sequence[Path],
    budget: tuple[int, int],
    bindings: Sequence[StillBinding] = (),
    most_pixels: int = STILL_PIXELS,
) -> list[Reference]:
    """Read stills, one at a time, and note what is needed of each before the network sees it.

    Args:
        paths: files and folders.
        budget: height and width of the network's pixel budget.
        bindings: of some of the stills.
        most_pixels: width times height above which a still is refused, before it is decoded.

    Returns:
        The references in the order given; a still named twice is taken once.

    Raises:
        FilmError: if nothing is given, something is missing, empty, unreadable or too large, a still is transparent
            everywhere, or a binding names a still that is not among them.
    """
    if not paths:
        raise FilmError(
            "--refs must name at least one colour still or a folder of them, got none; give --refs PATH"
        )
    try:
        files = list_references(paths)
    except (ValueError, OSError) as error:
        raise FilmError(str(error)) from error
    bound = {Path(binding.still).resolve(): binding for binding in bindings}
    stray = sorted(set(bound) - {file.resolve() for file in files})
    if stray:
        raise FilmError(
            f"binding names the still {stray[0]}, which is not among the references; add it with --refs"
        )
    store = _StillStore(budget, most_pixels)
    return [store.take(file, bound.get(file.resolve())) for file in files]


def _read(path: Path, most_pixels: int) -> ReferenceStill:
    try:
        return load_reference(path, most_pixels)
    except (ValueError, OSError) as error:
        raise FilmError(str(error)) from error


def _continued(still: ReferenceStill) -> UInt8[Tensor, "3 h w"]:
    """The pixels of a still; what is hidden continues what is opaque, so that resizing mixes nothing else in."""
    if still.opaque is None:
        return still.image
    return fill_hidden(still.image[None].float(), still.opaque[None])[0].round().byte()


def _shrunk(opaque: Bool[Tensor, "1 h w"], size: tuple[int, int]) -> Bool[Tensor, "1 h2 w2"]:
    """A mask at another size; what is opaque never vanishes."""
    share = resize(opaque.float(), size)
    return share >= share.max().clamp(max=0.5)


def _digest(still: ReferenceStill) -> str:
    whole = hashlib.sha256(str(tuple(still.image.shape)).encode() + still.image.numpy().tobytes())
    if still.opaque is not None:
        whole.update(still.opaque.numpy().tobytes())
    return whole.hexdigest()[:16]


def _grey_grid(still: PreparedStill) -> Float[Tensor, "3 gh gw"]:
    lab = denormalize_lab(still.lab)
    of_lightness = lab_to_rgb(torch.cat((lab[:1], torch.zeros_like(lab[1:]))))[1:2]
    of_luma = rgb_to_ycbcr(lab_to_rgb(lab).clamp(0, 1), "bt709")[:1]
    counts = torch.ones_like(of_luma) if still.opaque is None else still.opaque.float()
    return torch.cat((resize(torch.cat((of_lightness, of_luma)), GRID), resize(counts, GRID).clamp(0, 1)))
