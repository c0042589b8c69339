"""The training loop: `Trainer.run` around `Trainer.train_step`, the same for one device and many machines."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import ca_data
import torch
from ca_data import ClipDataset
from ca_model import ColorAlignNet, Given, RecurrentState
from lightning.fabric import Fabric
from torch import Tensor

from ca_trainer.errors import NonFiniteError, TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.training.adversary import Adversary
from ca_trainer.training.averaging import WeightAverage
from ca_trainer.training.batches import Batch, make_loader
from ca_trainer.training.checkpoint import load_checkpoint, save_checkpoint
from ca_trainer.training.devices import gather
from ca_trainer.training.interrupts import StopRequest
from ca_trainer.training.learners import set_up
from ca_trainer.training.objective import Objective
from ca_trainer.training.rematerialize import rematerialize
from ca_trainer.training.reporter import Reporter, StepRecord
from ca_trainer.training.run_folder import RunFolder
from ca_trainer.training.schedule import rate_factor
from ca_trainer.training.truncation import cut_clip
from ca_trainer.training.validation import Validation, ValidationResult

STEP_KEY = 2**31 + 1  # keeps the random numbers of the steps apart from those of the samples


class Trainer:
    """A network in training, with everything a step changes.

    Args:
        recipe: what to do.
        fabric: the launched device and its fellow ranks.
        model: the network, not yet on its device.
        dataset: training samples.
        validation: clips to check on.
    """

    def __init__(
        self,
        recipe: Recipe,
        fabric: Fabric,
        model: ColorAlignNet,
        dataset: ClipDataset,
        validation: Validation,
    ) -> None:
        self.recipe, self.fabric, self.dataset, self.validation = recipe, fabric, dataset, validation
        self.objective = Objective(recipe.losses, fabric)
        if recipe.compute.channels_last:
            model = model.to(memory_format=torch.channels_last)
        # the frames before a segment that the alignment looks at
        self.overlap = model.config.neighbors
        if 0 < recipe.optimizer.truncate < self.overlap:
            raise TrainerError(
                f"optimizer.truncate: expected 0 or at least the network's {self.overlap} neighbors, "
                f"got {recipe.optimizer.truncate}"
            )
        if recipe.compute.checkpoint_gradients:
            rematerialize(model)
        if recipe.compute.compile:
            model = cast(ColorAlignNet, torch.compile(model))
        self.network = set_up(recipe, fabric, model)
        self.model = self.network.module
        self.adversary = Adversary(recipe, fabric) if recipe.losses.adversarial else None
        self.learners = {"network": self.network}
        if self.adversary is not None:
            self.learners["discriminator"] = self.adversary.learner
        self.average = WeightAverage(self.network.holder, recipe.optimizer.ema)
        self.step = 0
        self.stop = StopRequest()

    def run(self, until: int, folder: RunFolder, reporter: Reporter) -> bool:
        """Train up to step `until`, checking, saving and reporting on the way.

        Returns:
            Whether it got there; False after Ctrl-C, with a checkpoint saved.
        """
        recipe, fabric = self.recipe, self.fabric
        loader = make_loader(
            recipe,
            self.dataset,
            self.step,
            until,
            rank=fabric.global_rank,
            world=fabric.world_size,
            pin_memory=fabric.device.type == "cuda",
        )
        batches = iter(loader)
        stopped = False
        self.model.train()
        try:
            with self.stop.listening():
                while self.step < until and not stopped:
                    started = time.perf_counter()
                    batch = fabric.to_device(next(batches))
                    waited = time.perf_counter() - started
                    record = self.train_step(batch)
                    self.step += 1
                    stopped = record.stop_requested
                    reporter.stepped(self.step, record, time.perf_counter() - started, waited)
                    if not stopped and due(self.step, recipe.validate_every, until):
                        reporter.validated(self.step, self.validate())
                    if stopped or due(self.step, recipe.checkpoint_every, until):
                        self.save(folder)
        finally:
            # An error's traceback would keep the iterator, and with it workers that the interpreter waits for.
            del batches
        return not stopped

    def train_step(self, batch: Batch) -> StepRecord:
        """Take one optimizer step on this rank's share of the global batch."""
        recipe = self.recipe
        self._seed()
        factor = rate_factor(recipe.schedule, self.step, recipe.steps)
        self.network.set_rate(recipe.optimizer.learning_rate * factor)
        parts = split(batch, recipe.optimizer.accumulate)
        outputs, losses_of_parts, stop_requested = [], [], False
        for number, part in enumerate(parts):
            output, losses, stop = self._learn_from(part, 1 / len(parts), final=number + 1 == len(parts))
            outputs.append(output)
            losses_of_parts.append(losses)
            stop_requested |= stop
        norm = self._update()
        numbers = {"gradient_norm": norm, "learning_rate": recipe.optimizer.learning_rate * factor}
        if self.adversary is not None:
            numbers |= self.adversary.learn(outputs, parts, factor, self._agree)
        frames = sum(output.shape[0] * output.shape[1] for output in outputs) * self.fabric.world_size
        return StepRecord(mean_of(losses_of_parts, [1.0] * len(parts)), frames, numbers, stop_requested)

    def _learn_from(self, part: Batch, share: float, *, final: bool) -> tuple[Tensor, dict[str, float], bool]:
        """Add the gradients of one micro-batch; give its ab, its losses, and whether to stop."""
        length, online = part["ab"].shape[1], self.recipe.optimizer.online
        segments = cut_clip(length, self.recipe.optimizer.truncate, self.overlap)
        colors: list[Tensor] = []
        state: RecurrentState | None = None
        losses_of_segments, frames, stop_requested = [], [], False
        for number, segment in enumerate(segments):
            piece = segment.of(part)
            given = None if number else self._given(piece)
            last = final and number + 1 == len(segments)
            with self.fabric.no_backward_sync(self.model, enabled=not (last or online)):
                output = self.model(piece["lightness"], piece["references"], given=given, state=state)
                state, piece = output.state.detach(), segment.without_seen(piece)
                logits = self.adversary.judge(output.ab, piece) if self.adversary is not None else None
                named = self.objective(output, piece, logits)
                losses, stop = self._agree(named, piece)
                frames.append(piece["ab"].shape[1])
                self.fabric.backward(named["loss"] * (1.0 if online else share * frames[-1] / length))
                if online and not last:
                    self._update()
            colors.append(output.ab.detach())
            losses_of_segments.append(losses)
            stop_requested |= stop
        return torch.cat(colors, dim=1), mean_of(losses_of_segments, frames), stop_requested

    def _given(self, part: Batch) -> Given | None:
        """The first frame of the samples whose colors are known beforehand."""
        if not self.recipe.references.known:
            return None
        ab, mask = torch.zeros_like(part["ab"]), torch.zeros(part["ab"].shape[:2], dtype=torch.bool)
        ab[:, 0], mask[:, 0] = part["known_ab"], part["known"].cpu()
        return Given(ab, mask.to(ab.device))

    def _update(self) -> float:
        """Shorten the gradients, refuse broken ones, step, and take the weights into their average."""
        norm = self.network.clip(self.fabric, self.recipe.optimizer.clip_norm)
        # the scaler of 16-mixed skips steps of broken gradients itself
        scaled = self.recipe.compute.precision == "16-mixed"
        if not scaled and not torch.isfinite(norm):
            raise NonFiniteError(
                f"step {self.step + 1}: the gradient is {float(norm)} though the loss is finite; the weights "
                "were not updated; lower optimizer.learning_rate or set optimizer.clip_norm, then --resume"
            )
        self.network.step()
        self.average.update()
        return float(norm)

    def _agree(self, named: dict[str, Tensor], part: Batch) -> tuple[dict[str, float], bool]:
        """Average the losses over the ranks, refuse them where one is not finite, hear a wish to stop."""
        local = torch.stack([value.detach().float() for value in named.values()])
        wish = torch.tensor([float(self.stop.requested)], device=local.device)
        together = self.fabric.all_reduce(torch.cat((local, wish)), reduce_op="mean")
        values = cast(Tensor, together).tolist()
        if not torch.isfinite(torch.tensor(values)).all():
            raise NonFiniteError(self._name_culprits(named, part))
        return dict(zip(named, values[:-1], strict=True)), values[-1] > 0

    def _name_culprits(self, named: dict[str, Tensor], part: Batch) -> str:
        broken = {name: float(value.detach()) for name, value in named.items() if not torch.isfinite(value)}
        mine = ", ".join(f"{name} {value}" for name, value in broken.items())
        clips = [
            f"{clip} from frame {int(start)}" for clip, start in zip(part["clip"], part["start"], strict=True)
        ]
        culprit = f"rank {self.fabric.global_rank}: {mine} on {'; '.join(clips)}" if mine else ""
        culprits = " | ".join(line for line in gather(self.fabric, culprit) if line)
        return f"step {self.step + 1}: the loss is not finite; the weights were not updated ({culprits})"

    def _seed(self) -> None:
        """Random numbers of a step depend on seed, step and rank alone: nothing to save, nothing to lose."""
        keys = (self.recipe.seed, STEP_KEY, self.step, self.fabric.global_rank)
        torch.manual_seed(ca_data.sample_generator(*keys).initial_seed())

    def validate(self) -> ValidationResult:
        """Score the averaged weights on the validation clips."""
        self.model.eval()
        with self.average.applied():
            result = self.validation.run(self.model, self.fabric)
        self.model.train()
        return result

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint."""
        save_checkpoint(folder.checkpoints, self.fabric, self.learners, self.average, {"step": self.step})

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        self.step = int(load_checkpoint(path, self.fabric, self.learners, self.average)["step"])


def due(step: int, every: int, until: int) -> bool:
    """Whether something done every so many steps, and always at the end, is to be done after `step`.

    Example:
        >>> [step for step in range(1, 8) if due(step, 3, 7)]
        [3, 6, 7]
    """
    return step == until or (every > 0 and step % every == 0)


def split(batch: Batch, parts: int) -> Sequence[Batch]:
    """Cut a collated batch into equal micro-batches."""
    if parts == 1:
        return [batch]
    size = len(batch["clip"]) // parts
    values = cast(dict[str, Tensor], batch)  # the clips' names are a list, which is cut alike
    cuts = [slice(number * size, (number + 1) * size) for number in range(parts)]
    return [cast(Batch, {name: value[cut] for name, value in values.items()}) for cut in cuts]


def mean_of(losses: Sequence[dict[str, float]], weights: Sequence[float]) -> dict[str, float]:
    """Weighted mean of each named loss.

    Example:
        >>> mean_of([{"l1": 1.0}, {"l1": 5.0}], [3, 1])
        {'l1': 2.0}
    """
    total = sum(weights)
    pairs = list(zip(losses, weights, strict=True))
    return {name: sum(one[name] * weight for one, weight in pairs) / total for name in losses[0]}
