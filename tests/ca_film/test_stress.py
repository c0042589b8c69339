"""Kills, full disks and damaged films at random points: nothing lost, nothing half written, no traceback."""

from pathlib import Path

import pytest
from ca_film.stress import stress


def check(folder: Path, kills: int, full: int, films: int) -> None:
    tallies = stress(folder, kills=kills, full=full, films=films)
    for tally in tallies:
        print(tally)
    assert [tally.tried for tally in tallies] == [kills, full, films]
    assert not [line for tally in tallies for line in tally.wrong]


def test_a_few_of_each(tmp_path: Path) -> None:
    check(tmp_path, 4, 2, 2)


@pytest.mark.slow
def test_many_of_each(tmp_path: Path) -> None:
    check(tmp_path, 30, 30, 100)
