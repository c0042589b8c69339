"""What only whole processes can show: a kill -9 in the middle, and memory over a long film."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "apps" / "infer"
MEASURE = """
import json, resource, sys
from ca_infer.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def typed(film: Path, still: Path, weights: Path, out: Path) -> list[str]:
    common = [
        "--weights",
        str(weights),
        "--size",
        "80x48",
        "--device",
        "cpu",
        "--cuts",
        "none",
        "--no-report",
    ]
    return ["colorize", str(film), "--refs", str(still), "-o", str(out), *common]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(
    make_film: Callable[..., Path], still: Path, weights: Path, tmp_path: Path
) -> None:
    film = make_film(timestamps=range(0, 24000, 1000))
    whole, killed = tmp_path / "whole.mp4", tmp_path / "killed.mp4"

    def start(out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(APP), *typed(film, still, weights, out), "--segment", "4"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(whole).wait(300) == 0
    running = start(killed)
    while running.poll() is None:
        if len(list(tmp_path.glob("killed.mp4.partial/*.packets"))) >= 2:
            running.send_signal(signal.SIGKILL)
            running.wait()
        time.sleep(0.005)
    assert running.returncode == -signal.SIGKILL
    assert not killed.exists()
    assert start(killed).wait(300) == 0
    assert whole.read_bytes() == killed.read_bytes()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(
    make_film: Callable[..., Path], still: Path, weights: Path, tmp_path: Path
) -> None:
    peaks = []
    for frames in (100, 1000):
        film = make_film(f"film{frames}.mkv", timestamps=range(0, frames * 1000, 1000))
        command = [sys.executable, "-c", MEASURE, *typed(film, still, weights, tmp_path / f"{frames}.mp4")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        code, peak = json.loads(done.stdout.splitlines()[-1])
        assert code == 0
        peaks.append(peak)
    assert peaks[1] < 1.1 * peaks[0]
