"""Validation: PSNR of the network and of the grey film on clips that training never sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import ca_data
import ca_metrics
import torch
from ca_data import Clip, network_to_rgb, to_uint8
from ca_model import Given
from jaxtyping import Float, UInt8
from lightning.fabric import Fabric
from torch import Tensor, nn

from ca_trainer.recipe import DataChoice
from ca_trainer.training.devices import gather

Column = tuple[UInt8[Tensor, "3 h w"], ...]


@dataclass(frozen=True)
class ValidationResult:
    """Mean PSNR in dB over frames and then clips; per clip its own and (grey, reference, output, truth)."""

    psnr: float
    psnr_grey: float
    names: tuple[str, ...]
    clip_psnr: tuple[float, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class _ClipScore:
    number: int
    psnr: float
    grey: float
    column: Column


class Validation:
    """The validation clips, ready to be coloured: frame 0 is the reference, the others are scored.

    Args:
        clips: at least one, each of two frames or more.
        data: how many frames of each, and the size they are brought to.
    """

    def __init__(self, clips: Sequence[Clip], data: DataChoice) -> None:
        self.names = tuple(clip.name for clip in clips)
        size = (data.size[0], data.size[1]) if data.size else None
        cache = ca_data.ClipCache(clips, "none", size)
        lengths = [min(len(clip), data.validation_frames) for clip in clips]
        self.frames = [cache.read(number, range(length)) for number, length in enumerate(lengths)]

    def run(self, model: nn.Module, fabric: Fabric) -> ValidationResult:
        """Colour the clips, shared out over the ranks, and score them; every rank gets the whole result."""
        rounds = -(-len(self.frames) // fabric.world_size)
        scores = []
        for round_number in range(rounds):
            # every rank must run the sharded network equally often, so the last round may repeat a clip
            number = (round_number * fabric.world_size + fabric.global_rank) % len(self.frames)
            scores.append(self._score(number, model, fabric.device))
        every = {score.number: score for rank in gather(fabric, scores) for score in rank}
        ordered = [every[number] for number in range(len(self.frames))]
        return ValidationResult(
            psnr=sum(score.psnr for score in ordered) / len(ordered),
            psnr_grey=sum(score.grey for score in ordered) / len(ordered),
            names=self.names,
            clip_psnr=tuple(score.psnr for score in ordered),
            columns=tuple(score.column for score in ordered),
        )

    @torch.no_grad()
    def _score(self, number: int, model: nn.Module, device: torch.device) -> _ClipScore:
        frames = self.frames[number].to(device)
        lightness, ab = ca_data.rgb_to_network(frames)
        reference = torch.cat((lightness[:1], ab[:1]), dim=1)
        known = torch.arange(len(frames), device=device)[None] == 0
        # not streamed: only forward is spread over ranks and run at the recipe's precision
        predicted = model(lightness[None], reference[None], given=Given(ab[None], known)).ab[0]
        output, grey = _join(lightness, predicted), _join(lightness, torch.zeros_like(predicted))
        column = (grey[-1], frames[0], output[-1], frames[-1])
        return _ClipScore(
            number=number,
            psnr=float(ca_metrics.psnr(output[1:], frames[1:]).mean()),
            grey=float(ca_metrics.psnr(grey[1:], frames[1:]).mean()),
            column=tuple(picture.cpu() for picture in column),
        )


def _join(lightness: Float[Tensor, "t 1 h w"], ab: Float[Tensor, "t 2 h w"]) -> UInt8[Tensor, "t 3 h w"]:
    return to_uint8(network_to_rgb(lightness, ab.float()))
