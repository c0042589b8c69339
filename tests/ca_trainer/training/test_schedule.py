"""Learning rate and clip length over the steps."""

import math

import pytest
from ca_trainer.recipe import DataChoice, ScheduleChoice
from ca_trainer.training.schedule import clip_length_at, rate_factor


def test_warm_up_then_cosine_by_hand() -> None:
    schedule = ScheduleChoice(kind="cosine", warmup=4, final=0.2)
    assert [rate_factor(schedule, step, 104) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert rate_factor(schedule, 4, 104) == 1.0
    assert rate_factor(schedule, 54, 104) == pytest.approx(0.6)
    assert rate_factor(schedule, 29, 104) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert rate_factor(schedule, 104, 104) == pytest.approx(0.2)
    assert rate_factor(schedule, 999, 104) == pytest.approx(0.2)


def test_constant_stays() -> None:
    schedule = ScheduleChoice(kind="constant", warmup=2)
    assert [rate_factor(schedule, step, 9) for step in (0, 1, 2, 8)] == [0.5, 1, 1, 1]


def test_clips_grow_evenly_and_stay() -> None:
    data = DataChoice(size=(32, 48), clip_length=7, frames=9, clip_length_start=3, clip_length_growth=8)
    assert [clip_length_at(data, step) for step in range(10)] == [3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert clip_length_at(DataChoice(size=(32, 48)), 0) == 4
