"""Films on a real Ray cluster of two workers, and what is left when workers, drivers, machines and disks fail."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ca_film import ColorizeOptions, colorize
from ca_film.batch import (
    BatchFilm,
    BatchProgress,
    BatchRecord,
    Entry,
    Tally,
    color_on_cluster,
    find_films,
)

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # as `color_on_cluster` does, before Ray is imported
pytest.importorskip("ray", reason="Ray is not installed: uv sync --group cluster")
pytestmark = pytest.mark.slow

MakeFilm = Callable[..., Path]
CUTS = (9, 18)
_FULL = """
import resource, signal, sys
if any("default_worker" in part for part in sys.orig_argv):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
"""


class TwoNodes:
    """A cluster of two nodes with one CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ.setdefault("RAY_worker_niceness", "0")  # a busy machine would starve nice workers
        head = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second: Any = None
        self.add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1, object_store_memory=100 << 20)

    def lose(self) -> None:
        """Kill every process of the second node."""
        self.cluster.remove_node(self.second, allow_graceful=False)

    def workers(self) -> list[int]:
        """Processes in which tasks run."""
        found = []
        for node in self.cluster.list_all_nodes():
            raylet = node.all_processes["raylet"][0].process.pid
            children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
            found += [int(one) for one in children if "ray::_work" in _title(int(one))]
        return found


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Joined once for all tests, so that the workers, which take long to start, stay."""
    import ray

    pair = TwoNodes()
    ray.init(address=pair.address, log_to_driver=False, logging_level="ERROR")
    yield pair
    ray.shutdown()
    pair.cluster.shutdown()


@pytest.fixture
def options(still: Path, weights: Path) -> ColorizeOptions:
    return ColorizeOptions(str(still), str(weights), (48, 80), "cpu", cuts=CUTS, segment=4, codec="ffv1")


@pytest.fixture
def film(make_film: MakeFilm) -> Path:
    return make_film("film.mkv", timestamps=range(0, 27000, 1000))


def run(
    nodes: TwoNodes,
    out: Path,
    films: list[BatchFilm],
    progress: BatchProgress | None = None,
    store: str | None = None,
) -> tuple[list[Entry], Tally]:
    with BatchRecord(out) as record:
        entries, tally = color_on_cluster(
            record, films, nodes.address, device="cpu", progress=progress, store=store
        )
    print(f"{tally.painted} frames coloured, {tally.needed} needed, {tally.twice} twice; {tally.tasks}")
    return entries, tally


def check(out: Path, film: BatchFilm, folder: Path) -> None:
    """The output is that of one process, and nothing is left beside it."""
    alone = folder / "alone" / film.name
    if not alone.exists():
        colorize(film.source, alone, film.options)
    files = sorted(path.name for path in alone.iterdir()) if alone.is_dir() else [""]
    for name in files:
        assert (out / film.name / name).read_bytes() == (alone / name).read_bytes(), film.name
    assert not list(out.glob("*.partial"))


class Once(BatchProgress):
    """Does something once some frames are coloured."""

    def __init__(self, act: Callable[[], object], after: int = 6) -> None:
        self._act, self._after, self._frames = act, after, 0
        self.acted: Any = None
        self.notes: list[str] = []

    def working(self, _film: str, _share: float, frames: int) -> None:
        self._frames += frames
        if self._frames >= self._after and not self.acted:
            self.acted = self._act()

    def note(self, line: str) -> None:
        self.notes.append(line)


def test_twenty_films_of_which_three_are_broken(
    nodes: TwoNodes,
    make_film: MakeFilm,
    options: ColorizeOptions,
    frames_folder: Path,
    clip: Any,
    tmp_path: Path,
) -> None:
    """Among them frames in a folder with dated stills, coloured from both sides and cut there."""
    from PIL import Image

    stills = tmp_path / "dated"
    stills.mkdir()
    for number in (0, 5, 10):
        Image.fromarray(clip[number]).save(stills / f"still_{number:06d}.png")
    dated = replace(options, references=(stills,), cuts=(), cut_at_stills=True)
    short = make_film("short.mkv", timestamps=range(0, 6000, 1000))
    films = [BatchFilm(str(frames_folder), replace(dated, segment=3), "frames")]
    for number in range(16):  # of one content: a film to compare with is enough
        copy = tmp_path / f"copy-{number:02d}.mkv"
        shutil.copy(short, copy)
        films += find_films([copy], replace(options, cuts=(3,)))
    for number in range(3):
        broken = tmp_path / f"broken-{number}.mkv"
        broken.write_bytes(short.read_bytes()[: 40 * number])
        films.insert(5 * number, *find_films([broken], options))
    out = tmp_path / "out"
    entries, tally = run(nodes, out, films)
    assert len(entries) == 20
    assert sum(entry.state == "failed" for entry in entries) == 3
    assert tally.twice == 0
    assert tally.tasks["part"] >= 16 + 3
    for one, entry in zip(films, entries, strict=True):
        assert (entry.state == "failed") == one.name.startswith("broken"), entry.line
        if entry.state == "failed":
            assert "video" in entry.line
            assert not (out / entry.out).exists()
        elif one.name in ("frames", "copy-00.mkv"):
            check(out, one, tmp_path)
        else:
            assert (out / one.name).read_bytes() == (out / "copy-00.mkv").read_bytes()


def test_a_worker_killed_in_mid_shot(
    nodes: TwoNodes, film: Path, options: ColorizeOptions, tmp_path: Path
) -> None:
    def kill() -> list[int]:
        workers = nodes.workers()
        for process in workers[:1]:
            os.kill(process, signal.SIGKILL)
        return workers

    films, progress = find_films([film], options), Once(kill)
    (entry,), _ = run(nodes, tmp_path / "out", films, progress)
    assert progress.acted, "no worker was killed"
    assert entry.state == "done", entry.line
    check(tmp_path / "out", films[0], tmp_path)


def test_a_machine_gone(nodes: TwoNodes, film: Path, options: ColorizeOptions, tmp_path: Path) -> None:
    films, progress = find_films([film], options), Once(lambda: nodes.lose() or True)
    (entry,), _ = run(nodes, tmp_path / "out", films, progress)
    nodes.add()
    assert progress.acted
    assert entry.state == "done", entry.line
    check(tmp_path / "out", films[0], tmp_path)


def test_a_machine_without_room_on_its_disk(
    nodes: TwoNodes, film: Path, options: ColorizeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes may write 3000 bytes a file; what it cannot do the other one does."""
    (tmp_path / "sitecustomize.py").write_text(_FULL)
    nodes.lose()
    with monkeypatch.context() as environment:
        environment.setenv("PYTHONPATH", str(tmp_path))
        nodes.add()
    films, progress = find_films([film], options), Once(lambda: True)
    (entry,), tally = run(nodes, tmp_path / "out", films, progress)
    nodes.lose()
    nodes.add()
    assert entry.state == "done", entry.line
    assert len(tally.left) == 1, "the full disk was never written to"
    assert "gets no more work" in progress.notes[0]
    check(tmp_path / "out", films[0], tmp_path)


def test_the_driver_killed(nodes: TwoNodes, film: Path, options: ColorizeOptions, tmp_path: Path) -> None:
    program, out = tmp_path / "driver.py", tmp_path / "out"
    program.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from ca_film import ColorizeOptions
        from ca_film.batch import BatchRecord, color_on_cluster, find_films
        options = ColorizeOptions({str(options.references)!r}, {options.weights!r}, (48, 80), "cpu",
                                  cuts={CUTS}, segment=4, codec="ffv1")
        with BatchRecord(Path({str(out)!r})) as record:
            color_on_cluster(record, find_films([{str(film)!r}], options), {nodes.address!r}, device="cpu")
        """)
    )
    driver = subprocess.Popen([sys.executable, str(program)])
    deadline = time.monotonic() + 120
    while not list(out.glob("*.partial/*.packets")):
        assert driver.poll() is None, "the driver ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    films = find_films([film], options)
    (entry,), tally = run(nodes, out, films)
    assert entry.state == "done", entry.line
    assert tally.needed < 27, "nothing of the killed driver's work was kept"
    check(out, films[0], tmp_path)


def test_films_and_outputs_behind_addresses(
    nodes: TwoNodes, film: Path, still: Path, options: ColorizeOptions, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    films = find_films([f"file://{film}"], replace(options, references=(f"file://{still}",)))
    (entry,), _ = run(nodes, tmp_path / "record", films, store=f"file://{store}")
    assert entry.state == "done", entry.line
    assert [path.name for path in store.iterdir()] == ["film.mkv"]
    colorize(film, tmp_path / "alone.mkv", options)
    assert (store / "film.mkv").read_bytes() == (tmp_path / "alone.mkv").read_bytes()
