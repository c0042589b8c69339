"""LPIPS: equal to its package on given weights, found in the hub cache, and never random."""

import socket
import warnings
from pathlib import Path

import lpips as package
import pytest
import torch
from ca_metrics import LPIPS, LPIPSUnavailable, load_lpips, lpips, psnr
from torch import nn
from torchvision.models import AlexNet_Weights

BACKBONE = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for torchvision's AlexNet weights: the same names and shapes, seeded numbers."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for layer, (out, channels, size) in BACKBONE.items():
        state[f"features.{layer}.weight"] = torch.randn(out, channels, size, size, generator=generator) * 0.05
        state[f"features.{layer}.bias"] = torch.randn(out, generator=generator) * 0.05
    state["classifier.6.bias"] = torch.zeros(1000)  # torchvision's file holds more than the backbone
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def network(weights: Path) -> nn.Module:
    return load_lpips("alex", weights=weights)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("LPIPS touched the network")

    monkeypatch.setattr(socket, "socket", refuse)


def test_equals_the_package(network: nn.Module, weights: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = package.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    state = torch.load(weights, weights_only=True)
    layers = [layer for part in reference.net.children() for layer in part if isinstance(layer, nn.Conv2d)]
    for layer, number in zip(layers, BACKBONE, strict=True):
        layer.load_state_dict({kind: state[f"features.{number}.{kind}"] for kind in ("weight", "bias")})
    pred, true = torch.rand(2, 11, 3, 67, 71, generator=torch.Generator().manual_seed(1))
    expected = reference(pred * 2 - 1, true * 2 - 1).flatten().double()
    torch.testing.assert_close(lpips(pred, true, network), expected)
    assert expected.min() > 0.01


def test_bytes_equal_floats_and_identical_frames_are_at_no_distance(network: nn.Module) -> None:
    pred, true = torch.randint(0, 256, (2, 3, 3, 37, 41), dtype=torch.uint8)
    torch.testing.assert_close(
        lpips(pred / 255.0, true / 255.0, network), lpips(pred, true, network), atol=1e-5, rtol=0
    )
    assert lpips(pred, pred, network).tolist() == [0.0, 0.0, 0.0]


def test_smallest_frames(network: nn.Module) -> None:
    assert lpips(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), network).isfinite().all()
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, got 37 x 31"):
        lpips(torch.rand(1, 3, 31, 37), torch.rand(1, 3, 31, 37), network)


def test_metric_averages_frames(network: nn.Module) -> None:
    pred, true = torch.rand(2, 3, 3, 37, 41)
    metric = LPIPS(network)
    metric.update(pred[:1], true[:1])
    metric.update(pred[1:], true[1:])
    assert metric.compute() == pytest.approx(lpips(pred, true, network).mean().item(), rel=1e-6)


def test_loading_is_quiet_and_leaves_the_random_state_alone(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = load_lpips("alex", weights=str(weights))
    assert torch.equal(torch.get_rng_state(), before)
    assert capsys.readouterr() == ("", "")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.usefixtures("no_network")
def test_hub_cache_is_used_and_an_empty_one_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = Path(AlexNet_Weights.IMAGENET1K_V1.url).name
    frames = torch.rand(1, 3, 37, 41)
    for call in (lambda: lpips(frames, frames), LPIPS):
        with pytest.raises(LPIPSUnavailable) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        for way in (
            str(tmp_path / "checkpoints" / name),
            AlexNet_Weights.IMAGENET1K_V1.url,
            str(tmp_path / "checkpoints" / "lpips_alex.safetensors"),
            "python -m ca_metrics weights",
            "load_lpips(weights=FILE)",
        ):
            assert way in message
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(weights.read_bytes())
    assert lpips(frames, frames).item() == 0.0


@pytest.mark.usefixtures("no_network")
def test_files_that_do_not_fit(tmp_path: Path, weights: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("these are no weights\n" * 9)
    with pytest.raises(LPIPSUnavailable, match="holds no PyTorch weights"):
        load_lpips("alex", weights=text)
    torch.save([1, 2], text)
    with pytest.raises(LPIPSUnavailable, match="holds a list, expected the dict"):
        load_lpips("alex", weights=text)
    with pytest.raises(
        LPIPSUnavailable, match=r"features.0.weight should be \(64, 3, 3, 3\) and is \(64, 3, 11, 11\)"
    ):
        load_lpips("vgg", weights=weights)
    with pytest.raises(ValueError, match="expected one of alex, vgg, squeeze, got 'resnet'"):
        load_lpips("resnet", weights=weights)  # type: ignore[arg-type]


def test_without_the_package_only_lpips_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(LPIPSUnavailable, match=r"pip install 'ca-metrics\[lpips\]'"):
        load_lpips()
    assert psnr(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)).item() == 0.0
