"""A batch on a cluster: Ray hands the parts of films to its workers; here is only what is to be done next.

A task gets paths, not pixels, and writes into the film's work folder, which all machines share. Ray starts a task again
whose worker or machine died; a machine that cannot write gets no more of them; an error of the film itself ends that
film. Whatever is done twice gives the same bytes under the same name, so it does not matter.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ca_film.batch.films import BatchFilm
from ca_film.batch.intake import Intake, finished
from ca_film.batch.jobs import color_film
from ca_film.batch.mirror import Mirror
from ca_film.batch.progress import BatchProgress
from ca_film.batch.record import FAILED, BatchRecord, Entry
from ca_film.colorize import Result
from ca_film.errors import BusyError, Cancelled, FilmError
from ca_film.options import ColorizeOptions
from ca_film.parts import FilmParts, Outline, Part
from ca_film.progress import Progress
from ca_film.project.folder import is_project

__all__ = ["Tally", "color_on_cluster"]

_LIVES = 3  # times that Ray starts a task again whose worker died
_AHEAD = 2  # tasks for each place, so that none waits for the next
_WAIT_SECONDS, _TOLD_SECONDS = 0.2, 0.05
_PATIENCE = 60.0  # seconds
_MEMORY = 100 << 20  # of the object store, which holds no pixels: as little as Ray takes gladly
# What the system says when a machine's disk is the trouble, not the film.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_OPEN, _PART, _FINISH = "open", "part", "finish"


@dataclass
class Tally:
    """What a batch on a cluster cost.

    Args:
        needed: frames that were to be coloured, those of passes against time too.
        painted: frames that were coloured.
        seconds: of work in tasks, by kind.
        tasks: by kind.
        left: machines that got no more tasks, and why.
        spans: by film and kind, when the first task began and the last ended, in seconds of the clock.
    """

    needed: int = 0
    painted: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    spans: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def add(self, source: str, kind: str, began: float, seconds: float) -> None:
        """Count a task that ended.

        Args:
            source: the film.
            kind: of work, as in `tasks`.
            began: when, in seconds of `time.time`.
            seconds: how long it took.
        """
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds
        first, last = self.spans.get((source, kind), (began, began))
        self.spans[source, kind] = min(first, began), max(last, began + seconds)

    @property
    def twice(self) -> int:
        """Frames that were coloured once more, because a worker died."""
        return max(0, self.painted - self.needed)


@dataclass(frozen=True)
class _Task:
    """A task: what a worker is to do with a film; `batch` tells one call of the driver from another."""

    batch: str
    kind: str
    number: int
    source: str
    out: str
    options: ColorizeOptions
    part: Part | None = None


@dataclass
class _Film:
    """A film in work: what is still to be handed out, and what is out."""

    batch: str
    number: int
    film: BatchFilm
    out: str
    ready: deque[_Task] = field(default_factory=deque)
    waiting: list[Part] = field(default_factory=list)
    running: int = 0
    outline: Outline | None = None
    backward: set[Part] = field(default_factory=set)
    left: int = 0
    total: int = 0
    begun: float = field(default_factory=time.monotonic)
    failed: bool = False

    def task(self, kind: str, part: Part | None = None) -> _Task:
        return _Task(self.batch, kind, self.number, self.film.source, self.out, self.film.options, part)


def color_on_cluster(
    record: BatchRecord,
    films: Sequence[BatchFilm],
    address: str,
    *,
    device: str = "auto",
    places: int | None = None,
    progress: BatchProgress | None = None,
    watch: Callable[[], Sequence[BatchFilm]] | None = None,
    store: str | None = None,
) -> tuple[list[Entry], Tally]:
    """Colour films on a Ray cluster, a shot or a few short ones a task.

    The bytes are those of `colorize` on a device of the same kind. Films are looked through and joined on the CPU; a
    project of the studio is one task, on the CPU.

    Args:
        record: of the folder that the outputs go to, which every machine sees under the same path.
        films: what to colour, under paths that every machine sees, or fsspec addresses.
        address: `local` for a cluster of this machine alone, for as long as this takes, or that of a cluster; where the
            calling program has joined one already, that one is used.
        device: `auto` (CUDA where the cluster has GPUs), `cpu` or `cuda`.
        places: of a `local` cluster: how many tasks at a time; None for one for each core.
        progress: is told how far the work is, and may cancel it.
        watch: as for `color_batch`.
        store: an fsspec address of a folder for outputs and unfinished work; the record's folder then keeps the record.

    Returns:
        What came of each film, in their order, and what it cost.

    Raises:
        FilmError: if Ray is not installed, or there is no cluster.
        Cancelled: if `progress` asks for it; finished work is kept.
    """
    ray = _ray()
    joined = not ray.is_initialized()
    if joined:
        _join(ray, address, places)
    try:
        return _Driver(ray, record, device, progress or BatchProgress(), watch, store).run(films)
    finally:
        if joined:
            ray.shutdown()


def _ray() -> Any:
    # Under `uv run` Ray would send the current folder to every worker and start it by `uv run` there, in an environment
    # made anew; workers have the project already.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise FilmError(
            "`cluster` needs Ray, which is not installed; uv sync --group cluster, or pip install 'ca-film[ray]'"
        ) from error
    return ray


def _join(ray: Any, address: str, places: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        if address == "local":
            ray.init(
                address="local", num_cpus=places, object_store_memory=_MEMORY, include_dashboard=None, **quiet
            )
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise FilmError(
            f"`cluster` {address}: no cluster could be joined ({line}); start one (ray start --head), or write local"
        ) from error


class _Driver:
    """Hands out tasks, a bounded number at a time, and takes what comes of them."""

    def __init__(
        self,
        ray: Any,
        record: BatchRecord,
        device: str,
        progress: BatchProgress,
        watch: Callable[[], Sequence[BatchFilm]] | None,
        store: str | None,
    ) -> None:
        self._store, self._batch = store, secrets.token_hex(8)
        self._ray, self._record, self._progress = ray, record, progress
        self._intake = Intake(record, progress, watch)
        self._on_gpu = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
        self._tally, self._told = Tally(), dict[str, int]()
        self._films: dict[int, _Film] = {}
        self._running: dict[Any, _Task] = {}
        here = ray.get_runtime_context().get_node_id()
        stay = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self._counter = ray.remote(_counter()).options(num_cpus=0, scheduling_strategy=stay).remote()
        self._work = ray.remote(_work)

    def run(self, films: Sequence[BatchFilm]) -> tuple[list[Entry], Tally]:
        self._intake.add(films)
        try:
            while True:
                self._hand_out()
                if not self._running and not self._intake.open:
                    break
                self._take()
                self._count()
                if self._progress.cancelled():
                    raise Cancelled("cancelled; finished work is kept, and the same call goes on from it")
                self._intake.look()
                self._check_places()
            self._count()
        finally:
            for reference in self._running:
                self._ray.cancel(reference, force=True)
        return self._record.entries(), self._tally

    def _check_places(self) -> None:
        if self._tally.left and not self._places_left():
            raise FilmError(f"no machine is left that can write: {next(iter(self._tally.left.values()))}")

    def _hand_out(self) -> None:
        resources = self._ray.cluster_resources()
        places = max(1, round(resources.get("GPU" if self._on_gpu else "CPU", 1)))
        while len(self._running) < _AHEAD * places and (task := self._next(_AHEAD * places)):
            self._running[self._submit(task)] = task

    def _next(self, most_open: int) -> _Task | None:
        """A task of the film that was begun first and has one; else the next film's first."""
        for film in self._films.values():
            if film.ready:
                film.running += 1
                return film.ready.popleft()
        taken = self._record.take() if len(self._films) < most_open else None
        if taken is None:
            return None
        number, wanted = taken
        here = self._record.out(number).absolute()
        out = str(here) if self._store is None else f"{self._store.rstrip('/')}/{here.name}"
        film = self._films[number] = _Film(self._batch, number, wanted, out, running=1)
        return film.task(_FINISH if is_project(wanted.source) else _OPEN)

    def _submit(self, task: _Task) -> Any:
        gpus = 1 if self._on_gpu and task.kind == _PART else 0
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_retries": _LIVES}
        if self._tally.left:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._tally.left)})"}
        self._tally.tasks[task.kind] = self._tally.tasks.get(task.kind, 0) + 1
        return self._work.options(**options).remote(task, self._counter)

    def _take(self) -> None:
        if not self._running:
            time.sleep(_WAIT_SECONDS)
            return
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_WAIT_SECONDS)
        for reference in done:
            task = self._running.pop(reference)
            film = self._films[task.number]
            film.running -= 1
            try:
                found = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                line = " ".join(str(error).split())[:200]
                line = f"its worker died {1 + _LIVES} times ({line}); run again"
                found = _Found("film", line, time.time(), 0.0, "", _Painted("", task.number, 0))
            self._took(film, task, found)

    def _took(self, film: _Film, task: _Task, found: _Found) -> None:
        self._tally.add(task.source, task.kind, found.began, found.seconds)
        self._painted(found.painted)
        if film.failed:
            pass  # its other tasks still end
        elif found.kind == "disk":
            self._leave(found)
            if self._places_left():
                film.ready.appendleft(task)
            else:
                self._end(film, state=FAILED, line=found.value)
        elif found.kind == "film":
            self._end(film, state=FAILED, line=found.value)
        elif task.kind == _OPEN:
            self._outlined(film, found.value)
        elif task.kind == _PART:
            assert task.part is not None
            film.left -= task.part.missing
            film.backward.discard(task.part)
            self._release(film)
        else:
            self._finished(film, found.value)
        if film.failed and not film.running:
            del self._films[film.number]

    def _outlined(self, film: _Film, outline: Outline) -> None:
        film.outline, film.waiting = outline, [part for part in outline.parts if not part.backward]
        film.backward = {part for part in outline.parts if part.backward}
        film.total = film.left = sum(part.missing for part in outline.parts)
        self._tally.needed += film.total
        film.ready.extend(film.task(_PART, part) for part in outline.parts if part.backward)
        self._release(film)

    def _release(self, film: _Film) -> None:
        """Hand out the parts that wait for nothing any more; when all are made, the film's end."""
        if film.failed:
            return
        for part in list(film.waiting):
            if not any(one.start < part.stop and part.start < one.stop for one in film.backward):
                film.waiting.remove(part)
                film.ready.append(film.task(_PART, part))
        if not film.waiting and not film.ready and not film.running:
            film.ready.append(film.task(_FINISH))

    def _leave(self, found: _Found) -> None:
        if found.node not in self._tally.left:
            self._tally.left[found.node] = found.value
            self._progress.note(f"machine {found.node[:8]} gets no more work: {found.value}")

    def _places_left(self) -> bool:
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return bool(alive - set(self._tally.left))

    def _finished(self, film: _Film, result: Result) -> None:
        self._end(film, **finished(result))
        del self._films[film.number]

    def _end(self, film: _Film, **found: Any) -> None:
        if film.failed:
            return
        film.failed = found["state"] == FAILED
        film.ready.clear()
        film.waiting.clear()
        seconds = round(time.monotonic() - film.begun, 3)
        self._progress.ended(self._record.finish(film.number, seconds=seconds, **found))

    def _count(self) -> None:
        """Tell how many frames were coloured since the last time."""
        for run, (number, frames) in self._ray.get(self._counter.take.remote()).items():
            self._painted(_Painted(run, number, frames))

    def _painted(self, painted: _Painted) -> None:
        """Take in what one run of a task has coloured; it is told on the way, and once more with what came of it."""
        frames = painted.frames - self._told.get(painted.run, 0)
        if frames <= 0:
            return
        self._told[painted.run] = painted.frames
        self._tally.painted += frames
        film = self._films.get(painted.number)
        if film is not None:
            share = 1.0 - film.left / film.total if film.total else 0.0
            self._progress.working(film.film.source, share, frames)


@dataclass(frozen=True)
class _Painted:
    """How many frames one run of a task of a film, by its number, has coloured so far."""

    run: str
    number: int
    frames: int


@dataclass(frozen=True)
class _Found:
    """What came of a task: `done` with its value, or a line about the `film` or the `disk` of the machine."""

    kind: str
    value: Any
    began: float
    seconds: float
    node: str
    painted: _Painted


def _counter() -> type:
    """Class of an actor that keeps what tasks say they have coloured.

    Local, and told plain numbers, so that its process imports none of this.
    """

    class Counter:
        def __init__(self) -> None:
            self._last: dict[str, tuple[int, int]] = {}

        def tell(self, run: str, number: int, frames: int) -> None:
            self._last[run] = number, frames

        def take(self) -> dict[str, tuple[int, int]]:
            last, self._last = self._last, {}
            return last

    return Counter


class _Counting(Progress):
    """Tells the counter how many frames were coloured, a few times a second."""

    def __init__(self, counter: Any, number: int) -> None:
        self._counter, self._last = counter, time.monotonic()
        self.painted = _Painted(secrets.token_hex(8), number, 0)

    def advance(self, count: int = 1) -> None:
        self.painted = replace(self.painted, frames=self.painted.frames + count)
        if time.monotonic() - self._last > _TOLD_SECONDS:
            self._last = time.monotonic()
            # Nobody waits for it: of a task that waits Ray lends the core to another, in a new process.
            self._counter.tell.remote(self.painted.run, self.painted.number, self.painted.frames)


_films: tuple[str, FilmParts] | None = None


def _work(task: _Task, counter: Any) -> _Found:
    """Do a task, in a worker process of Ray, which keeps the last film open for its next one."""
    import ray

    global _films
    if _films is None or _films[0] != task.batch:
        _films = task.batch, FilmParts()
    node, began, start = ray.get_runtime_context().get_node_id(), time.time(), time.monotonic()
    counting = _Counting(counter, task.number)
    value: Any
    try:
        kind, value = "done", _done(_films[1], task, counting, on_gpu=bool(ray.get_gpu_ids()))
    except FilmError as error:
        disk = isinstance(error.__cause__, OSError) and error.__cause__.errno in _DISK
        kind, value = "disk" if disk else "film", " ".join(str(error).split())
    except OSError as error:
        disk = error.errno in _DISK
        kind, value = (
            "disk" if disk else "film",
            f"output {task.out} cannot be written ({error.strerror or error})",
        )
    except Exception as error:  # one film must not stop the others, whatever is wrong with it
        kind, value = "film", f"{type(error).__name__}: {' '.join(str(error).split())}"
    return _Found(kind, value, began, time.monotonic() - start, node, counting.painted)


def _done(films: FilmParts, task: _Task, counting: _Counting, *, on_gpu: bool) -> Outline | Result | None:
    mirror = Mirror()
    source = mirror.film(task.source)
    options = mirror.options(replace(task.options, device="cuda" if on_gpu else "cpu"))
    frames = None if task.part is None else task.part.frames
    with mirror.work(task.out, frames, overwrite=options.overwrite) as out:
        if task.part is not None:
            films.color(source, out, options, task.part, counting)
            return None
        if task.kind == _OPEN:
            return _patiently(lambda: films.outline(source, out, options, Progress()))
        finish = color_film if is_project(source) else films.finish
        return _patiently(lambda: finish(source, out, options, Progress()))


def _patiently(work: Callable[[], Any]) -> Any:
    """Do what needs the work folder for itself alone; a worker that is about to die may still hold it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return work()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_WAIT_SECONDS)
