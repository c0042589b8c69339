"""A network is an ordinary module: copied, pickled, loaded from a folder without a network, run under autocast."""

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch
from ca_model import ColorAlignNet, create_model
from torch import Tensor


@pytest.fixture
def network() -> ColorAlignNet:
    return create_model("tiny").eval()


def given() -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    clip = torch.rand(1, 3, 1, 48, 80, generator=generator) * 2 - 1
    return clip, [torch.rand(1, 3, 32, 48, generator=generator) - 0.5]


@torch.no_grad()
def colors(network: ColorAlignNet) -> Tensor:
    return network(*given()).ab


def test_a_deep_copy_is_equal_and_its_own(network: ColorAlignNet) -> None:
    made = copy.deepcopy(network)
    assert torch.equal(colors(made), colors(network))
    with torch.no_grad():
        next(made.parameters()).add_(1.0)
    assert not torch.equal(next(made.parameters()), next(network.parameters()))


def test_a_pickle_is_equal(network: ColorAlignNet) -> None:
    assert torch.equal(colors(pickle.loads(pickle.dumps(network))), colors(network))


def test_a_state_dict_goes_through_torch_save(network: ColorAlignNet) -> None:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = create_model("tiny").eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(colors(other), colors(network))


def test_from_pretrained_reads_a_folder_and_asks_no_hub(
    network: ColorAlignNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        pytest.fail("the hub was asked")

    monkeypatch.setattr("socket.socket.connect", refused)
    network.save_pretrained(tmp_path)
    loaded = ColorAlignNet.from_pretrained(str(tmp_path))
    assert not loaded.training
    assert torch.equal(colors(loaded), colors(network))


def test_autocast_changes_little_and_answers_in_its_range(network: ColorAlignNet) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lower = colors(network)
    assert lower.isfinite().all()
    assert (lower.float() - colors(network)).abs().max() < 0.1


def test_double_and_half_round_trip(network: ColorAlignNet) -> None:
    before = colors(network)
    assert torch.equal(colors(network.double().float()), before)


@pytest.mark.slow
def test_it_compiles(network: ColorAlignNet) -> None:
    """With TorchDynamo's tracing and no code made: what breaks a graph or changes a value shows, in seconds."""
    compiled = torch.compile(network, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(*given()).ab, colors(network), atol=1e-5)
