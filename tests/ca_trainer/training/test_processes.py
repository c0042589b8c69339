"""Runs in processes of their own: two ranks, kill -9, Ctrl-C; and the command line.

Processes are forked from this one, which has everything imported already; the last test starts them as users do.
"""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkProcess
from pathlib import Path

import ca_data
import pytest
import torch
from ca_trainer.cli import main
from ca_trainer.errors import NonFiniteError, TrainerError
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training.loop import Trainer
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.reporter import Reporter
from ca_trainer.training.run import train

TIMING = ("seconds", "waiting", "frames_per_second")
CHANGES = ["steps=300", "validate_every=0", "losses.adversarial=0.1", "data.workers=1"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums of several threads round otherwise than those of one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fork(target: Callable[[], object], **environment: str) -> ForkProcess:
    def run() -> None:
        os.environ.update(environment)
        target()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def run_ranks(world: int, target: Callable[[], object]) -> list[int | None]:
    """Run the same on several ranks as torchrun would, and give their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    everyone = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "TORCHELASTIC_RUN_ID": "test"}
    everyone |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}
    ranks = [fork(target, **everyone, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(world)]
    for process in ranks:
        process.join(300)
        process.kill()
    return [process.exitcode for process in ranks]


def losses(out: Path) -> dict[int, dict[str, float]]:
    steps = [entry for entry in read_metrics(out / "metrics.jsonl") if entry.pop("event") == "step"]
    return {entry["step"]: {k: v for k, v in entry.items() if k not in TIMING} for entry in steps}


def wait_until(condition: Callable[[], bool], process: ForkProcess) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.02)


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, quick: list[str]) -> None:
    recipe = load_recipe("demo", [*quick, *CHANGES])
    killed = fork(lambda: train(recipe, out=tmp_path / "killed"))
    try:
        wait_until(lambda: len(losses(tmp_path / "killed")) >= 5, killed)
        with pytest.raises(TrainerError, match="another process is training"):
            train(recipe, out=tmp_path / "killed", resume=True)
    finally:
        killed.kill()  # SIGKILL, at whatever instant this is
        killed.join()
    until = max(losses(tmp_path / "killed")) + 2
    train(recipe, out=tmp_path / "killed", resume=True, max_steps=until)
    train(recipe, out=tmp_path / "whole", max_steps=until)
    assert sorted(losses(tmp_path / "whole")) == list(range(1, until + 1))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_ranks_equal_one(tmp_path: Path, quick: list[str], accumulate: int) -> None:
    changes = ["losses.adversarial=0.1", "data.workers=0", "steps=3", f"optimizer.accumulate={accumulate}"]
    recipe = load_recipe("demo", [*quick, *changes])
    train(recipe, out=tmp_path / "one")
    assert run_ranks(2, lambda: train(recipe, out=tmp_path / "two")) == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(two) == [1, 2, 3]
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-3, abs=1e-6)
    first, second = (
        list(read_metrics(tmp_path / name / "metrics.jsonl"))[-1]["psnr"] for name in ("one", "two")
    )
    assert first == pytest.approx(second, abs=1e-3)


def test_one_rank_may_continue_what_two_began(tmp_path: Path, quick: list[str]) -> None:
    recipe = load_recipe("demo", [*quick, "data.workers=0", "steps=4", "validate_every=0"])
    assert run_ranks(2, lambda: train(recipe, out=tmp_path / "run", max_steps=2)) == [0, 0]
    train(recipe, out=tmp_path / "run", resume=True)
    train(recipe, out=tmp_path / "whole")
    assert sorted(losses(tmp_path / "run")) == [1, 2, 3, 4]
    assert losses(tmp_path / "run")[4] == pytest.approx(losses(tmp_path / "whole")[4], rel=1e-3, abs=1e-6)


def test_sharded_ranks_equal_one_and_go_on_from_their_checkpoint(tmp_path: Path, quick: list[str]) -> None:
    changes = ["compute.strategy=fsdp", "data.workers=0", "steps=4", "validate_every=1", "optimizer.ema=0.9"]
    recipe = load_recipe("demo", [*quick, *changes])
    assert run_ranks(1, lambda: train(recipe, out=tmp_path / "one")) == [0]
    assert run_ranks(2, lambda: train(recipe, out=tmp_path / "two", max_steps=2)) == [0, 0]
    assert run_ranks(2, lambda: train(recipe, out=tmp_path / "two", resume=True, max_steps=3)) == [0, 0]
    assert run_ranks(1, lambda: train(recipe, out=tmp_path / "two", resume=True)) == [0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(two) == [1, 2, 3, 4]
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-3, abs=1e-6)
    first, second = (
        [entry["psnr"] for entry in read_metrics(tmp_path / name / "metrics.jsonl") if "psnr" in entry]
        for name in ("one", "two")
    )
    assert first == pytest.approx(second, abs=1e-3)


def test_a_broken_loss_on_one_rank_stops_both(tmp_path: Path, quick: list[str]) -> None:
    recipe = load_recipe("demo", [*quick, "data.workers=0", "validate_every=0"])

    def broken() -> None:
        if os.environ["RANK"] == "1":
            spoil_third_step()
        try:
            train(recipe, out=tmp_path / "run")
        except NonFiniteError as error:
            (tmp_path / f"rank{os.environ['RANK']}").write_text(str(error))

    assert run_ranks(2, broken) == [0, 0]
    told = [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)]
    assert told[0] == told[1]
    assert "step 3: the loss is not finite" in told[0]
    assert "rank 1: " in told[0]
    assert "rank 0: " not in told[0]
    assert sorted(losses(tmp_path / "run")) == [1, 2]


def spoil_third_step() -> None:
    step = Trainer.train_step

    def spoilt(self: Trainer, batch: dict[str, torch.Tensor]) -> object:
        if self.step == 2:
            batch["ab"] = batch["ab"] * float("nan")
        return step(self, batch)

    Trainer.train_step = spoilt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_and_says_how_to_go_on(
    tmp_path: Path,
    quick: list[str],
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stepped = Reporter.stepped

    def interrupt(self: Reporter, step: int, *rest: object) -> None:
        stepped(self, step, *rest)
        if step == 2:
            workers = [child.pid for child in multiprocessing.active_children()]
            assert workers
            for process in (*workers, os.getpid()):  # as a terminal or a scheduler does
                os.kill(process, number)

    monkeypatch.setattr(Reporter, "stepped", interrupt)
    monkeypatch.chdir(tmp_path)
    options = [word for change in [*quick, "checkpoint_every=0"] for word in ("--set", change)]
    with pytest.raises(SystemExit) as ending:
        main(["--out", "run", *options])
    assert ending.value.code == 130
    told = capsys.readouterr().out
    assert "Stopped after step 3 and saved" in told
    assert "--resume --out run" in told
    with pytest.raises(SystemExit) as ending:
        main(["--resume", "--out", "run", "--max-steps", "4"])
    assert ending.value.code == 0
    assert "Continuing after step 3" in capsys.readouterr().out
    assert sorted(losses(tmp_path / "run")) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recipe", "nothing"], "expected one of"),
        (["train", "--data", "nowhere"], "nowhere"),
        (["--max-steps", "0"], "--max-steps"),
        (["--set", "stepz=3"], "nearest valid one is 'steps'"),
        (["--resume"], "--out"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    tmp_path: Path,
    options: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(options)
    error = capsys.readouterr().err
    assert ending.value.code == 2
    assert error.count("\n") == 1
    assert told in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_torchrun_starts_the_folder(tmp_path: Path, repository: Path, small: list[str]) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = [word for change in [*small, "steps=2"] for word in ("--set", change)]
    finished = subprocess.run(
        [*launcher, str(repository / "apps" / "trainer"), "--out", "run", *options],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr
    assert "cpu x 2 ranks" in finished.stdout
    assert sorted(losses(tmp_path / "run")) == [1, 2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the ranks in /proc, which is Linux's")
def test_a_killed_rank_rejoins_to_the_same_losses(tmp_path: Path, repository: Path, quick: list[str]) -> None:
    """torchrun's elastic restart: the other rank ends, too, and both go on from the last checkpoint."""
    changes = ["steps=40", "checkpoint_every=3", "validate_every=0", "data.workers=0"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = [word for change in [*quick, *changes] for word in ("--set", change)]
    job = subprocess.Popen(
        [*launcher, "--max-restarts=2", str(repository / "apps" / "trainer"), "--out", "killed", *options],
        cwd=tmp_path,
        # A store of its own for each start: in the shared one ranks find the addresses of those that were killed.
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 300
    file = tmp_path / "killed" / "metrics.jsonl"
    while not file.exists() or len(losses(tmp_path / "killed")) < 5:
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ranks = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    said, _ = job.communicate(timeout=600)
    assert job.returncode == 0, said
    assert "Continuing after step" in said
    recipe = load_recipe("demo", [*quick, *changes])
    assert run_ranks(2, lambda: train(recipe, out=tmp_path / "whole")) == [0, 0]
    assert sorted(losses(tmp_path / "whole")) == list(range(1, 41))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_the_slurm_script_of_the_documents_starts_torchrun(tmp_path: Path, repository: Path) -> None:
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


@pytest.mark.slow
def test_source_folders_alone_train_on_frames_without_pyav_and_lpips(
    tmp_path: Path, repository: Path, small: list[str]
) -> None:
    for seed in (1, 2):
        ca_data.write_frames(ca_data.synthetic_clip(seed, 4, (32, 48)), tmp_path / "clips" / f"clip-{seed}")
    program = (
        "import sys; sys.modules['av'] = sys.modules['lpips'] = None; from ca_trainer.cli import main; main()"
    )
    sources = [str(path) for path in (*repository.glob("packages/*/src"), repository / "apps/trainer/src")]
    libraries = str(Path(torch.__file__).parent.parent)
    options = [word for change in [*small, "steps=1"] for word in ("--set", change)]
    finished = subprocess.run(
        [sys.executable, "-S", "-c", program, "--data", "clips", "--out", "run", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sources, libraries])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr
    assert sorted(losses(tmp_path / "run")) == [1]
