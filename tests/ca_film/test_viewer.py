"""Any frame of a film at hand, whatever its timestamps are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ca_film import open_film
from ca_film.project import Viewer
from ca_film.source.survey import survey_film


@pytest.mark.parametrize(
    "timestamps",
    [[0] * 7, [0, 1000, 1000, 1000, 2000, 3000, 4000], [0, 300, 5000, 5100, 9000, 20000, 20200]],
    ids=["all alike", "repeated", "of variable rate"],
)
def test_every_frame_is_the_one_that_decoding_in_order_gives(
    make_film: Callable[..., Path], timestamps: list[int]
) -> None:
    path = make_film(timestamps=timestamps)
    film = open_film(path)
    survey, ordered = survey_film(film), [frame.luma.copy() for frame in film.frames()]
    viewer = Viewer(path)
    assert len(viewer) == len(ordered) == 7
    for _ in range(2):  # before the survey, and when its numbers are known
        for index in (5, 0, 6, 2, 3, 4, 1):
            assert viewer.frame(index).index == index
            assert np.array_equal(viewer.frame(index).luma, ordered[index])
        viewer.follow(survey)
