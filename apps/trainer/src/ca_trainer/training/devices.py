"""Devices and ranks: the set-up of Fabric for one process, or for those that torchrun starts."""

import logging
import os
from typing import Any, TypeVar

import torch
from ca_model import ModelError, choose_device
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import ComputeChoice

Item = TypeVar("Item")


class _MixedPrecision(MixedPrecision):
    """Autocast that leaves the inputs alone: 8 binary digits of lightness are too few to follow a motion by."""

    def convert_input(self, data: Any) -> Any:
        return data


def make_fabric(compute: ComputeChoice, *, unused_parameters: bool = False) -> Fabric:
    """Set up this process's device and, under torchrun, its place among the others.

    One process serves one device. Several devices or machines are torchrun's business: it starts the
    processes and tells each its rank through the environment.

    Args:
        compute: device, strategy and precision.
        unused_parameters: whether some step leaves a parameter without a gradient, which costs DDP a search.

    Returns:
        A launched Fabric.

    Raises:
        TrainerError: the device is not there, or the strategy does not run on it.
    """
    for chatter in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    elastic = TorchElasticEnvironment.detect()
    world = int(os.environ["WORLD_SIZE"]) if elastic else 1
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if elastic else 1
    rank = int(os.environ["LOCAL_RANK"]) if elastic else 0
    device = _available_device(compute.device, rank, local)
    plugins: list[Any] = [TorchElasticEnvironment() if elastic else LightningEnvironment()]
    mixed = compute.precision in ("16-mixed", "bf16-mixed")
    if mixed:
        plugins.append(_MixedPrecision(compute.precision, device))
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy=_make_strategy(compute.strategy, world, unused_parameters),
        precision=None if mixed else compute.precision,
        plugins=plugins,
    )
    fabric.launch()
    return fabric


def _available_device(wanted: str, rank: int, count: int) -> str:
    """Type of the device of the process `rank` among the `count` of this machine, checked to be there."""
    cuda_devices = torch.cuda.device_count()
    if wanted != "cpu" and 0 < cuda_devices < count:
        raise TrainerError(
            f"torchrun started {count} processes on a machine with {cuda_devices} CUDA devices; "
            "give one process a device (--nproc-per-node), or --device cpu"
        )
    try:
        return choose_device(f"cuda:{rank}" if wanted == "cuda" else wanted).type
    except ModelError as error:
        raise TrainerError(f"compute.{error}") from None


def _make_strategy(name: str, world: int, unused_parameters: bool) -> Strategy | str:
    if name == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=world, tensor_parallel_size=1)
    if world > 1:
        return DDPStrategy(find_unused_parameters=unused_parameters)
    return "auto"


def _shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Leave each rank its share of every parameter, gathered whole for the time of a pass and no longer."""
    for layer in network.modules():
        for name, parameter in list(layer.named_parameters(recurse=False)):
            if parameter.ndim == 0:  # it cannot be divided; loading takes one of length 1 for the same
                setattr(layer, name, nn.Parameter(parameter.detach()[None], parameter.requires_grad))
    # As one group: it is the moments and the average that shards make room for, and layers are also called past their
    # `forward`, where a group of their own would not be gathered. Gathered again for every pass, because validation
    # exchanges the weights between two.
    fully_shard(network, mesh=mesh["data_parallel"], reshard_after_forward=True)
    return network


def gather(fabric: Fabric, item: Item) -> list[Item]:
    """Gather one item of every rank, in order of rank, on every rank."""
    if fabric.world_size == 1:
        return [item]
    items: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(items, item)
    return items


def leave() -> None:
    """Close the process group, where there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
