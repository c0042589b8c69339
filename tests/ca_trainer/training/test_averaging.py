"""The moving average of the weights."""

import torch
from ca_trainer.training.averaging import WeightAverage
from torch import nn


def test_average_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    average = WeightAverage(layer, decay=0.15)
    nn.init.constant_(layer.weight, 4.0)
    average.update()  # decay (1 + 0) / (10 + 0) = 0.1
    torch.testing.assert_close(average.tensors[0], torch.tensor([[0.1 * 2 + 0.9 * 4]]))
    average.update()  # decay min(0.15, 2 / 11)
    torch.testing.assert_close(average.tensors[0], torch.tensor([[0.15 * 3.8 + 0.85 * 4]]))


def test_applied_swaps_and_gives_back_bit_for_bit() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, decay=0.9)
    with torch.no_grad():
        layer.weight.add_(1)
    own, averaged = layer.weight.detach().clone(), average.tensors[0].clone()
    with average.applied():
        assert torch.equal(layer.weight, averaged)
    assert torch.equal(layer.weight, own)
    assert torch.equal(average.tensors[0], averaged)


def test_no_decay_no_average() -> None:
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, decay=0.0)
    own = layer.weight.detach().clone()
    average.update()
    with average.applied():
        assert torch.equal(layer.weight, own)
