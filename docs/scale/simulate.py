"""A library of films on 64 devices, simulated: what failures, slow machines and the ends of films cost.

    uv run --group cluster python docs/scale/simulate.py

Reads `inputs.json` beside it (durations measured on one machine, and assumptions, each with where it is from) and
writes `results.json` and `efficiency.svg`. The tasks are those of `ca_film.batch.cluster`: a film is looked through by
one, its parts (a shot, or short ones up to a segment) are coloured by many, and one joins them; a part whose worker
dies goes on from its last kept segment. Efficiency is the time that frames and their decoding need on an undisturbed
device, over the time that all devices together were there.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import simpy

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent


@dataclass
class Film:
    """Frames of its parts, and how many parts are not coloured yet."""

    parts: list[int]
    left: int = 0


@dataclass
class Outcome:
    """Seconds of devices by what they went into, and when all was done."""

    useful: float = 0.0
    overhead: float = 0.0
    lost: float = 0.0
    done: float = 0.0
    failures: int = 0
    busy: list[tuple[float, int]] = field(default_factory=list)


def make_film(chance: random.Random, given: dict) -> Film:
    """A film's shots, put together into parts as the cluster does it."""
    minutes = chance.uniform(*given["film_minutes"])
    left, parts, part = round(minutes * 60 * given["rate"]), [], 0
    while left > 0:
        shot = min(
            left, max(1, round(given["rate"] * chance.lognormvariate(*given["shot_seconds_lognormal"])))
        )
        left -= shot
        if part and part + shot > given["segment"]:
            parts.append(part)
            part = 0
        part += shot
    return Film([*parts, part])


class Library:
    """All films, on devices that are slow or die now and then."""

    def __init__(self, given: dict, *, failures: bool, stragglers: bool, seed: int) -> None:
        devices = given["devices"]
        self.given, self.failures = given, failures
        self.chance, self.env, self.outcome = random.Random(seed), simpy.Environment(), Outcome()
        self.films = [make_film(self.chance, given) for _ in range(given["films"])]
        self.waiting = simpy.PriorityStore(self.env)
        self.working, self.ended = 0, 0
        slow = round(given["slow_share"] * devices) if stragglers else 0
        self.speeds = [given["slow_speed"] if number < slow else 1.0 for number in range(devices)]
        for number, film in enumerate(self.films):
            self.waiting.put(simpy.PriorityItem((number, 0), ("open", film)))

    def run(self) -> Outcome:
        self.all_done = self.env.event()
        for speed in self.speeds:
            self.env.process(self.device(speed))
        self.env.run(self.all_done)
        self.outcome.done = self.env.now
        return self.outcome

    def device(self, speed: float) -> Iterator[simpy.Event]:
        """Take one task after another; die now and then, and lose what was not kept."""
        given = self.given
        next_death = (
            self.chance.expovariate(1 / given["hours_between_failures"] / 3600)
            if self.failures
            else float("inf")
        )
        while True:
            item = yield self.waiting.get()
            kind, film, *rest = item.item
            overhead, work = self.cost(kind, film, *rest)
            self.note(+1)
            while True:
                span = (overhead + work) / speed
                if self.env.now + span <= next_death:
                    yield self.env.timeout(span)
                    break
                # Dead in the middle: kept segments stay, the rest and the start of the task are done again elsewhere.
                ran = max(0.0, next_death - self.env.now)
                yield self.env.timeout(ran)
                self.outcome.failures += 1
                done = max(0.0, ran * speed - overhead)
                kept = self.kept(kind, done)
                self.outcome.useful += kept
                self.outcome.lost += ran - kept
                yield self.env.timeout(given["seconds_to_come_back"])
                self.outcome.lost += given["seconds_to_come_back"]
                work -= kept
                next_death = self.env.now + self.chance.expovariate(
                    1 / given["hours_between_failures"] / 3600
                )
            self.note(-1)
            self.outcome.useful += work
            self.outcome.overhead += overhead
            self.outcome.lost += span - overhead - work
            self.follow(kind, film, item.priority)

    def cost(self, kind: str, film: Film, frames: int = 0) -> tuple[float, float]:
        given = self.given
        if kind == "open":
            return given["seconds_per_task"], sum(film.parts) * given["seconds_per_frame_looked_through"]
        if kind == "finish":
            return given["seconds_per_task"], sum(film.parts) * given["seconds_per_frame_joined"]
        return given["seconds_per_task"] + given["seconds_to_seek"], frames * given[
            "seconds_per_frame_colored"
        ]

    def kept(self, kind: str, done: float) -> float:
        if kind != "part":
            return 0.0
        segment = self.given["segment"] * self.given["seconds_per_frame_colored"]
        return done // segment * segment

    def follow(self, kind: str, film: Film, place: tuple[int, int]) -> None:
        if kind == "open":
            film.left = len(film.parts)
            for number, frames in enumerate(film.parts):
                self.waiting.put(simpy.PriorityItem((place[0], number + 1), ("part", film, frames)))
        elif kind == "part":
            film.left -= 1
            if not film.left:
                self.waiting.put(simpy.PriorityItem((place[0], 0), ("finish", film)))
        else:
            self.ended += 1
            if self.ended == len(self.films):
                self.all_done.succeed()

    def note(self, change: int) -> None:
        self.working += change
        self.outcome.busy.append((self.env.now, self.working))


def main() -> None:
    given = {name: one["value"] for name, one in json.loads((HERE / "inputs.json").read_text()).items()}
    fast = {**given, "seconds_per_frame_colored": given["seconds_per_frame_colored"] / given["faster"]}
    cases = {
        "nothing fails": (given, False),
        "failures and slow devices": (given, True),
        f"the same, coloring {given['faster']} times as fast": (fast, True),
    }
    results = {}
    figure, axes = plt.subplots(figsize=(8, 4))
    for name, (case, trouble) in cases.items():
        library = Library(case, failures=trouble, stragglers=trouble, seed=0)
        frames = sum(sum(film.parts) for film in library.films)
        found = library.run()
        there = given["devices"] * found.done
        results[name] = {
            "hours": round(found.done / 3600, 2),
            "efficiency": round(found.useful / there, 4),
            "task_overhead": round(found.overhead / there, 4),
            "lost_to_failures_and_slowness": abs(round(found.lost / there, 4)),
            "idle": round(1 - (found.useful + found.overhead + found.lost) / there, 4),
            "failures": found.failures,
            "film_hours": round(frames / given["rate"] / 3600, 1),
            "device_hours_per_film_hour": round(there / (frames / given["rate"]), 3),
            "tasks": sum(len(film.parts) + 2 for film in library.films),
        }
        times, busy = zip(*found.busy[:: max(1, len(found.busy) // 400)], strict=True)
        axes.step(
            [time / found.done for time in times],
            busy,
            label=f"{name}: {results[name]['efficiency']:.1%}",
            where="post",
        )
        print(f"{name}: {results[name]}")
    axes.set(
        xlabel="share of the time until all is done",
        ylabel="devices at work",
        title=f"{given['films']} films on {given['devices']} devices",
    )
    axes.legend(title="efficiency", loc="lower left")
    figure.tight_layout()
    plt.rcParams["svg.hashsalt"] = "coloralign"
    figure.savefig(HERE / "efficiency.svg", metadata={"Date": None})
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
