"""The recurrent state: choosing per sample, ageing, detaching, moving and naming."""

import pytest
import torch
from ca_model import RecurrentState
from ca_model.state import Keyframe, Recollection


def state() -> RecurrentState:
    torch.manual_seed(0)
    lightness, ab = torch.rand(2, 1, 8, 16), torch.rand(2, 2, 8, 16, requires_grad=True) * 1
    descriptors = torch.rand(2, 3, 1, 2)
    return RecurrentState(
        lightness,
        ab,
        Keyframe.at(lightness, ab),
        descriptors,
        torch.rand(2, 5, 2, 4, requires_grad=True) * 1,
        Recollection(descriptors, torch.rand(2, 2, 1, 2), torch.ones(2)),
    )


def test_a_keyframe_is_at_first_where_the_frame_is_and_fully_trusted():
    key = state().keyframe
    assert key is not None
    assert not key.flow.any()
    assert key.flow.shape == (2, 2, 8, 16)
    assert (key.trust == 1).all()


def test_keyframes_are_chosen_sample_by_sample():
    one, other = (Keyframe.at(torch.full((2, 1, 3, 5), x), torch.full((2, 2, 3, 5), x)) for x in (1.0, 2.0))
    mixed = one.where(torch.tensor([True, False]), other)
    assert mixed.ab[:, 0, 0, 0].tolist() == [1.0, 2.0]
    assert mixed.flow.shape == (2, 2, 3, 5)


def test_a_recollection_ages_until_another_takes_its_place():
    def of(value: float) -> Recollection:
        return Recollection(torch.full((2, 3, 4, 5), value), torch.full((2, 2, 4, 5), value), torch.zeros(2))

    later = of(1.0).older(of(2.0), torch.tensor([True, False]))
    assert later.age.tolist() == [0, 1]
    assert later.ab[:, 0, 0, 0].tolist() == [2, 1]
    assert later.descriptors[:, 0, 0, 0].tolist() == [2, 1]


def test_detaching_reaches_every_tensor():
    attached = [name for name, value in state().named_tensors().items() if value.requires_grad]
    assert attached == ["ab", "memory", "keyframe.ab"]
    assert not any(value.requires_grad for value in state().detach().named_tensors().values())


def test_moving_reaches_every_tensor():
    moved = state().to(torch.device("meta")).named_tensors()
    assert set(moved) == set(state().named_tensors())
    assert all(value.device.type == "meta" for value in moved.values())


def test_named_tensors_make_the_state_again():
    named = state().named_tensors()
    assert {"lightness", "ab", "descriptors", "memory", "keyframe.flow", "recollection.age"} <= set(named)
    again = RecurrentState.from_named_tensors(named).named_tensors()
    assert set(again) == set(named)
    assert all(again[name] is value for name, value in named.items())
    with pytest.raises(TypeError):
        RecurrentState.from_named_tensors({"lightness": named["lightness"], "color": named["ab"]})
