"""Training on a Ray cluster: Ray Train starts the ranks, the trainer does what it does under torchrun.

    uv run --group cluster --with "ray[train]" python docs/scale/ray_train.py --recipe demo --out runs/on-ray

What follows the program's name are the trainer's own options. A failed rank ends the attempt; Ray starts the ranks
again, up to three times, and with `--out` they go on from the last checkpoint. `RANKS` (2) says how many there are,
`ON_GPU=1` that each has a GPU, `RAY_ADDRESS` which cluster; none means this machine.
"""

import os
import sys
from pathlib import Path

# Before Ray is imported: under `uv run` it would make every worker an environment of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer

RANKS = int(os.environ.get("RANKS", "2"))
ON_GPU = os.environ.get("ON_GPU", "") == "1"


def rank(config: dict) -> None:
    """One rank: what torchrun says in the environment, Ray Train says in its context."""
    context = get_context()
    os.environ |= {
        "TORCHELASTIC_RUN_ID": context.get_experiment_name() or "ray",
        "RANK": str(context.get_world_rank()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        "GROUP_RANK": str(context.get_node_rank()),
    }
    os.chdir(config["folder"])
    # A run that is there is one that an earlier attempt began: the trainer then goes on from its last checkpoint.
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "1"
    from ca_trainer.cli import main

    try:
        main(["train", *config["options"]])
    except SystemExit as ending:
        if ending.code:
            raise RuntimeError(f"the trainer ended with code {ending.code}") from ending


if __name__ == "__main__":
    ray.init(address=os.environ.get("RAY_ADDRESS", "local"))
    TorchTrainer(
        rank,
        train_loop_config={"options": sys.argv[1:], "folder": str(Path.cwd())},
        torch_config=TorchConfig(backend="nccl" if ON_GPU else "gloo"),
        scaling_config=ScalingConfig(num_workers=RANKS, use_gpu=ON_GPU),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=3)),
    ).fit()
