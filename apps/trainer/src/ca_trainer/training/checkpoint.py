"""Checkpoints of a training run, which survive a kill at any instant and continue bit for bit.

A checkpoint is a folder `step-00001200/` with the state and its checksum, written under another name, flushed to disk
and then renamed. It holds whole (unsharded) tensors, so that a run may continue with another number of ranks.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from ca_trainer.errors import TrainerError
from ca_trainer.training.averaging import WeightAverage
from ca_trainer.training.learners import Learner

KEPT = 2
STATE_FILE = "state.pt"
CHECKSUM_FILE = "state.sha256"


def whole_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights, unsharded, on the CPU; every rank must call it, rank 0 gets them all."""
    weights = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    # cloned, because on a CPU "offloading" hands out the parameters themselves, which the next step
    # overwrites
    return {name: cast(torch.Tensor, tensor).detach().clone() for name, tensor in weights.items()}


def _optimizer_state(learner: Learner) -> dict[str, Any]:
    if not _is_sharded(learner.holder):
        return learner.plain_optimizer.state_dict()  # exact also for parameters that no step has touched yet
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(learner.holder, learner.plain_optimizer, options=options))


def _load_optimizer_state(learner: Learner, state: dict[str, Any]) -> None:
    if not _is_sharded(learner.holder):
        learner.plain_optimizer.load_state_dict(state)
    else:
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(learner.holder, learner.plain_optimizer, state, options=options)


def _is_sharded(module: nn.Module) -> bool:
    return any(isinstance(part, FSDPModule) for part in module.modules())


def save_checkpoint(
    folder: Path,
    fabric: Fabric,
    learners: Mapping[str, Learner],
    average: WeightAverage,
    progress: Mapping[str, int | float],
) -> Path:
    """Write `folder/step-N` with everything that training needs to go on, and drop all but the newest two.

    Args:
        folder: the run's checkpoint folder.
        fabric: every rank calls; rank 0 writes.
        learners: networks and optimizers by name.
        average: moving average of the first learner's weights.
        progress: plain numbers; `step` counts the finished steps, and is also the position in the data.

    Returns:
        The new checkpoint's folder.
    """
    state: dict[str, Any] = {"progress": dict(progress), "precision": fabric.strategy.precision.state_dict()}
    for name, learner in learners.items():
        state[f"{name}.weights"] = whole_weights(learner.holder)
        state[f"{name}.optimizer"] = _optimizer_state(learner)
    if average.decay:
        state["average.updates"] = average.updates
        with average.applied():
            state["average.weights"] = whole_weights(average.module)
    target = folder / f"step-{int(progress['step']):08d}"
    if fabric.is_global_zero:
        _write_atomically(state, target)
        for old in list_checkpoints(folder)[:-KEPT]:
            shutil.rmtree(old)
    fabric.barrier()
    return target


def _write_atomically(state: dict[str, Any], target: Path) -> None:
    buffer = io.BytesIO()  # torch tells of a full disk in words of its own; a file of bytes in the system's
    torch.save(state, buffer)
    data = buffer.getvalue()
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in ((STATE_FILE, data), (CHECKSUM_FILE, hashlib.sha256(data).hexdigest().encode())):
            with (partial / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if target.exists():  # the same step once more: after Ctrl-C, or because this one was damaged
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainerError(
            f"checkpoint {target} cannot be written ({error.strerror or error}); earlier ones are kept: make room and "
            "go on with --resume"
        ) from None


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / STATE_FILE).is_file())


def is_sound(path: Path) -> bool:
    """Whether a checkpoint is still what was written, by its checksum; one of before checksums counts as sound."""
    checksum = path / CHECKSUM_FILE
    try:
        if not checksum.exists():
            return True
        with (path / STATE_FILE).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().encode() == checksum.read_bytes()
    except OSError:
        return False


def load_checkpoint(
    path: Path, fabric: Fabric, learners: Mapping[str, Learner], average: WeightAverage
) -> dict[str, int | float]:
    """Put a checkpoint's state into networks, optimizers and average, in place.

    Args:
        path: a folder from `list_checkpoints`.
        fabric: every rank calls and reads the file itself.
        learners: the same names as were saved.
        average: the average of the first learner's weights.

    Returns:
        The progress numbers that were saved.

    Raises:
        TrainerError: the checkpoint is of another network, or damaged.
    """
    options = StateDictOptions(full_state_dict=True)
    try:
        state = torch.load(path / STATE_FILE, map_location="cpu", weights_only=True)
        if average.decay and "average.weights" in state:
            set_model_state_dict(average.module, state["average.weights"], options=options)
            average.take()
            average.updates = state["average.updates"]
        for name, learner in learners.items():
            set_model_state_dict(learner.holder, state[f"{name}.weights"], options=options)
            _load_optimizer_state(learner, state[f"{name}.optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
    except (
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
        UnpicklingError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainerError(f"--resume: checkpoint {path} does not fit this recipe: {reason}") from None
    return dict(state["progress"])
