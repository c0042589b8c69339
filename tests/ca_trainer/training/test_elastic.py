"""torchrun's elastic restart: a rank is killed, the others with it, and all go on from the last checkpoint."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ca_trainer.training.metrics_log import read_metrics

TIMING = ("seconds", "waiting", "frames_per_second")


def start(folder: Path, repository: Path, small: list[str]) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    changes = [*small, "steps=40", "checkpoint_every=3", "validate_every=0", "data.workers=0"]
    options = [word for change in changes for word in ("--set", change)]
    return subprocess.Popen(
        [*launcher, "--max-restarts=2", str(repository / "apps" / "trainer"), "--out", "run", *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def losses(folder: Path) -> dict[int, dict[str, float]]:
    file = folder / "run" / "metrics.jsonl"
    entries = list(read_metrics(file)) if file.exists() else []
    steps = [entry for entry in entries if entry.pop("event") == "step"]
    return {entry["step"]: {k: v for k, v in entry.items() if k not in TIMING} for entry in steps}


def ranks(launcher: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the ranks in /proc, which is Linux's")
def test_a_killed_rank_rejoins_and_the_losses_are_the_same(
    tmp_path: Path, repository: Path, small: list[str]
) -> None:
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    job = start(tmp_path / "killed", repository, small)
    deadline = time.monotonic() + 300
    while len(losses(tmp_path / "killed")) < 5:
        assert job.poll() is None, job.stdout.read() if job.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(ranks(job.pid)[-1], signal.SIGKILL)
    said, _ = job.communicate(timeout=600)
    assert job.returncode == 0, said
    assert "Continuing after step" in said
    said, _ = start(tmp_path / "whole", repository, small).communicate(timeout=600)
    assert sorted(losses(tmp_path / "whole")) == list(range(1, 41)), said
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_the_slurm_script_of_the_documents_starts_torchrun_on_every_node(
    tmp_path: Path, repository: Path
) -> None:
    """With stand-ins for SLURM's commands: `srun` starts what it is given, `torchrun` says what it was given."""
    text = (repository / "docs" / "training.md").read_text()
    (script,) = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "#SBATCH" in block]
    stands = {"scontrol": "echo first; echo second", "srun": '"$@"', "torchrun": 'printf "%s\\n" "$@"'}
    for name, does in stands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}
    found = subprocess.run(
        ["bash", "-eu", "-c", script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **job},
        capture_output=True,
        text=True,
        check=True,
    )
    given = found.stdout.splitlines()
    assert "--nnodes=2" in given
    assert "--rdzv-endpoint=first:29500" in given
    assert given[given.index("apps/trainer") :][-1] == "runs/base-7"
