"""Choosing a device, and what memory a piece of work took."""

import sys

import pytest
import torch
from ca_model import ModelError, choose_device, peak_memory, reset_peak_memory


def test_a_device_that_is_there() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ModelError, match=f"device: expected .* got '{name}'") as refusal:
        choose_device(name)
    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a process's peak")
def test_peak_memory_keeps_what_was_freed_until_it_is_reset() -> None:
    reset_peak_memory()
    before = peak_memory()
    torch.ones(2**26)  # 256 MiB, given back at once
    assert peak_memory(torch.device("cpu")) >= before + 2**27
    reset_peak_memory()
    assert 2**20 < peak_memory() < before + 2**27
