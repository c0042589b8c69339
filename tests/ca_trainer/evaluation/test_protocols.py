"""References and scored frames."""

import pytest
from ca_trainer.evaluation.protocols import EvaluationProtocol, parse_protocol


def test_first_frame_scores_all_but_the_first():
    protocol = EvaluationProtocol()
    assert protocol.reference_frames(5) == [0]
    assert protocol.scored_frames(5) == [1, 2, 3, 4]


@pytest.mark.parametrize("every", [2, 3, 7, 11])
@pytest.mark.parametrize("count", [2, 7, 11, 13])
def test_every_frame_is_either_shown_or_scored(every: int, count: int):
    protocol = EvaluationProtocol(every)
    shown, scored = protocol.reference_frames(count), protocol.scored_frames(count)
    assert sorted(shown + scored) == list(range(count))
    assert all(frame % every == 0 for frame in shown)
    assert all(frame % every != 0 for frame in scored)


def test_words_of_the_command_line():
    assert parse_protocol("first-frame") == EvaluationProtocol()
    assert parse_protocol("every-K", 5) == parse_protocol("every-5") == parse_protocol("every-5", 5)


@pytest.mark.parametrize(
    ("name", "every", "told"),
    [
        ("every-K", None, "needs its K"),
        ("every-5", 6, "expected 5"),
        ("first-frame", 5, "every-K only"),
        ("last-frame", None, "expected first-frame or every-K, got 'last-frame'"),
        ("every-1", None, "at least 2"),
    ],
)
def test_contradictions_are_refused(name: str, every: int | None, told: str):
    with pytest.raises(ValueError, match=told):
        parse_protocol(name, every)


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        EvaluationProtocol().scored_frames(1)
