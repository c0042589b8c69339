"""Perceptual loss: against VGG19 written out, found weights, and errors that tell the ways out."""

import socket
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from ca_losses import PerceptualLoss, VGGUnavailable
from ca_losses.perceptual import LAYERS
from safetensors.torch import save_file
from torchvision.models import VGG19_Weights

PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
FIRST = {"relu1_1": 0.5, "relu2_1": 2.0}


def make_weights(plan: tuple = PLAN) -> dict[str, torch.Tensor]:
    """A stand-in for torchvision's VGG19 up to relu5_1: the same names and shapes, seeded numbers."""
    generator, state, channels, position = torch.Generator().manual_seed(0), {}, 3, 0
    for width in plan:
        if width == "M":
            position += 1
            continue
        scale = (2 / (9 * channels)) ** 0.5
        state[f"features.{position}.weight"] = torch.randn(width, channels, 3, 3, generator=generator) * scale
        state[f"features.{position}.bias"] = torch.randn(width, generator=generator) * 0.1
        channels, position = width, position + 2
    state["classifier.6.bias"] = torch.zeros(1000)
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(make_weights(), path)
    return path


@pytest.fixture(scope="module")
def loss(weights: Path) -> PerceptualLoss:
    return PerceptualLoss(weights, layers=FIRST)


def activations(
    rgb: torch.Tensor, state: dict[str, torch.Tensor], plan: tuple = PLAN
) -> dict[str, torch.Tensor]:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (rgb - mean[None, :, None, None]) / std[None, :, None, None]
    found, position, block, i = {}, 0, 1, 1
    for width in plan:
        if width == "M":
            x, position, block, i = F.max_pool2d(x, 2), position + 1, block + 1, 1
        else:
            x = F.relu(
                F.conv2d(
                    x, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1
                )
            )
            found[f"relu{block}_{i}"] = x
            position, i = position + 2, i + 1
    return found


def frames(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    pred, true = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    return pred, true


def test_equals_vgg19_written_out_with_the_default_layers(weights: Path) -> None:
    pred, true = frames(2, 3, 19, 23)
    x, y = activations(pred, make_weights()), activations(true, make_weights())
    expected = sum(weight * (x[name] - y[name]).abs().mean() for name, weight in LAYERS.items())
    torch.testing.assert_close(PerceptualLoss(weights)(pred, true), expected, rtol=1e-5, atol=0)
    assert dict(LAYERS) == {
        "relu1_1": 1 / 32,
        "relu2_1": 1 / 16,
        "relu3_1": 1 / 8,
        "relu4_1": 1 / 4,
        "relu5_1": 1,
    }


def test_every_name_is_the_activation_it_says(weights: Path) -> None:
    pred, true = frames(1, 3, 17, 19)
    x, y = activations(pred, make_weights()), activations(true, make_weights())
    loss = PerceptualLoss(weights, layers=dict.fromkeys(x, 1.0))
    for (name, activation), found in zip(x.items(), loss._activations(pred), strict=True):
        torch.testing.assert_close(found, activation, msg=name)
    torch.testing.assert_close(loss(pred, true), sum((x[name] - y[name]).abs().mean() for name in x))


def test_a_time_axis_is_part_of_the_batch_and_truth_is_0_away_from_itself(loss: PerceptualLoss) -> None:
    pred, true = frames(2, 3, 3, 17, 19)
    torch.testing.assert_close(loss(pred, true), loss(pred.flatten(0, 1), true.flatten(0, 1)))
    assert loss(true, true).item() == 0.0


def test_gradients_reach_the_prediction_and_not_the_network(loss: PerceptualLoss) -> None:
    pred, true = frames(1, 3, 17, 19)
    loss(pred.requires_grad_(), true).backward()
    assert pred.grad is not None
    assert pred.grad.abs().min() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in loss.parameters())


def test_gradcheck(weights: Path) -> None:
    loss = PerceptualLoss(weights, layers={"relu1_1": 1.0}).double()
    loss.features[0].weight.data = loss.features[0].weight.data[:2]
    loss.features[0].bias.data = loss.features[0].bias.data[:2]
    pred, true = frames(1, 3, 16, 16)
    assert torch.autograd.gradcheck(
        lambda x: loss(x, true.double()), pred.double().requires_grad_(), fast_mode=True
    )


def test_safetensors_give_the_same(loss: PerceptualLoss, tmp_path: Path) -> None:
    save_file(
        {k: v for k, v in make_weights().items() if k.startswith("features")}, tmp_path / "vgg.safetensors"
    )
    pred, true = frames(1, 3, 17, 19)
    other = PerceptualLoss(tmp_path / "vgg.safetensors", layers=FIRST)
    assert torch.equal(other(pred, true), loss(pred, true))


def test_vgg16_is_known_by_its_layers(tmp_path: Path) -> None:
    state = make_weights(VGG16)
    save_file(state, tmp_path / "vgg16.safetensors")
    pred, true = frames(1, 3, 17, 19)
    x, y = activations(pred, state, VGG16), activations(true, state, VGG16)
    loss = PerceptualLoss(tmp_path / "vgg16.safetensors", layers=dict.fromkeys(x, 1.0))
    assert loss.network == "vgg16"
    assert list(x)[-1] == "relu5_3"
    torch.testing.assert_close(loss(pred, true), sum((x[name] - y[name]).abs().mean() for name in x))
    with pytest.raises(ValueError, match=r"relu5_3 of VGG16, whose weights .*vgg16.* holds, got 'relu4_4'"):
        PerceptualLoss(tmp_path / "vgg16.safetensors", layers={"relu1_1": 1.0, "relu4_4": 1.0})


def test_the_file_of_ca_metrics_is_found_where_it_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    save_file(make_weights(VGG16), tmp_path / "checkpoints" / "lpips_vgg.safetensors")
    assert PerceptualLoss(layers=FIRST).network == "vgg16"
    torch.save(make_weights(), tmp_path / "checkpoints" / Path(VGG19_Weights.IMAGENET1K_V1.url).name)
    assert PerceptualLoss(layers=FIRST).network == "vgg19"


def test_hub_cache_or_an_error_that_names_every_way_and_the_way_out(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the perceptual loss touched the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = tmp_path / "checkpoints" / Path(VGG19_Weights.IMAGENET1K_V1.url).name
    with pytest.raises(VGGUnavailable) as caught:
        PerceptualLoss()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        str(cached),
        VGG19_Weights.IMAGENET1K_V1.url,
        str(cached.parent / "lpips_vgg.safetensors"),
        "python -m ca_metrics weights",
        ".pth or .safetensors file",
        "(weight 0)",
    ):
        assert part in message
    cached.parent.mkdir()
    cached.write_bytes(weights.read_bytes())
    assert PerceptualLoss(layers=FIRST)(*frames(1, 3, 17, 19)) > 0


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
def test_files_that_do_not_fit_give_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("these are no weights\n" * 9)
    with pytest.raises(VGGUnavailable, match=f"expected VGG weights, .*{name} holds none") as caught:
        PerceptualLoss(path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_give_one_line(tmp_path: Path) -> None:
    state, path = make_weights(), tmp_path / "other.pth"
    state["features.5.weight"] = state["features.5.weight"][:, :32]
    torch.save(state, path)
    with pytest.raises(
        VGGUnavailable, match=r"features.5.weight of .*\(128, 32, 3, 3\) and not \(128, 64, 3, 3\)"
    ):
        PerceptualLoss(path, layers=FIRST)
    del state["features.5.weight"]
    torch.save(state, path)
    with pytest.raises(VGGUnavailable, match=r"features.5.weight of .* is nothing"):
        PerceptualLoss(path, layers=FIRST)
    torch.save([1], path)
    with pytest.raises(VGGUnavailable, match="holds a list"):
        PerceptualLoss(path)


def test_building_leaves_the_random_state_alone(weights: Path) -> None:
    before = torch.get_rng_state()
    PerceptualLoss(weights, layers=FIRST)
    assert torch.equal(torch.get_rng_state(), before)


def test_error_text(loss: PerceptualLoss, weights: Path) -> None:
    with pytest.raises(ValueError, match=r"expected RGB frames .* got \(1, 2, 17, 19\)"):
        loss(*frames(1, 2, 17, 19))
    with pytest.raises(ValueError, match="at least 16 x 16"):
        loss(*frames(1, 3, 15, 19))
    with pytest.raises(ValueError, match="relu1_1 to relu5_4, got 'conv1'"):
        PerceptualLoss(weights, layers={"conv1": 1.0})
    with pytest.raises(ValueError, match="at least one weight other than 0"):
        PerceptualLoss(weights, layers={"relu1_1": 0.0})
