"""Picture strips of a report: input, reference, output, truth and error map of a few frames of each clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ca_data import lab_to_rgb, resize, rgb_to_lab, to_uint8
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ca_trainer.evaluation.charts import error_map

__all__ = ["PICTURES", "Moment", "StripWriter"]

PICTURES = ("input", "reference", "output", "truth", "error")
_WIDEST = 384


@dataclass(frozen=True)
class Moment:
    """Frame of a clip that a report shows.

    Args:
        label: ``middle``, ``last`` or ``worst``.
        frame: its number.
        reference: number of the reference frame shown beside it.
        psnr: dB, None where the frame equals the truth.
    """

    label: str
    frame: int
    reference: int
    psnr: float | None


class StripWriter:
    """Keeps the pictures of a clip's middle, last and worst scored frame while the clip is scored.

    Args:
        folder: where the pictures go.
        scored: numbers of the scored frames.

    Example:
        >>> import tempfile, torch
        >>> frame = torch.zeros(3, 16, 24, dtype=torch.uint8)
        >>> strip = StripWriter(Path(tempfile.mkdtemp()), [1, 2])
        >>> for number, psnr in [(1, 20.0), (2, 30.0)]:
        ...     strip.add(number, frame, frame, (0, frame), psnr)
        >>> [(moment["label"], moment["frame"]) for moment in strip.finish()]
        [('middle', 2), ('worst', 1)]
    """

    def __init__(self, folder: Path, scored: list[int]) -> None:
        self._folder = folder
        self._fixed = {scored[-1]: "last", scored[len(scored) // 2]: "middle"}
        self._kept: dict[str, tuple[Moment, dict[str, Tensor]]] = {}

    def add(
        self,
        number: int,
        output: UInt8[Tensor, "3 h w"],
        truth: UInt8[Tensor, "3 h w"],
        reference: tuple[int, UInt8[Tensor, "3 h w"]],
        psnr: float | None,
    ) -> None:
        """Look at the next scored frame.

        Args:
            number: its number.
            output: sRGB of the system.
            truth: true sRGB.
            reference: number and sRGB of the reference in use.
            psnr: dB, None where output and truth are the same.
        """
        worst = self._kept.get("worst")
        lowest = worst[0].psnr if worst is not None else None
        labels = [self._fixed[number]] if number in self._fixed else []
        if worst is None or (psnr is not None and (lowest is None or psnr < lowest)):
            labels.append("worst")
        for label in labels:
            moment = Moment(label, number, reference[0], psnr)
            pictures = {"output": output, "truth": truth, "reference": reference[1]}
            self._kept[label] = moment, pictures

    def finish(self) -> list[dict[str, Any]]:
        """Write the pictures and say which there are, in the order of ``middle``, ``last``, ``worst``."""
        moments = []
        for label in ("middle", "last", "worst"):
            if label not in self._kept:
                continue
            moment, kept = self._kept[label]
            pictures = {
                **kept,
                "input": _grey(kept["truth"]),
                "error": error_map(kept["output"], kept["truth"]),
            }
            for name in PICTURES:
                _save(pictures[name], self._folder / f"{label}-{name}.jpg")
            moments.append(asdict(moment))
        return moments


def _grey(truth: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    lab = rgb_to_lab(truth)
    lab[1:] = 0
    return to_uint8(lab_to_rgb(lab))


def _save(picture: UInt8[Tensor, "3 h w"], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = picture.shape[-2:]
    if width > _WIDEST:
        picture = resize(picture, (max(1, round(height * _WIDEST / width)), _WIDEST))
    pixels = picture.permute(1, 2, 0).contiguous().cpu().numpy()
    # Full-resolution chroma: the colour is what these pictures are for.
    Image.fromarray(pixels).save(file, quality=85, subsampling=0)
