"""The image classifier's features: pretrained, frozen, and of use to the whole network."""

import torch
import torch.nn.functional as F
from ca_align import match_features
from ca_data import synthetic_clip
from ca_model import SemanticEncoder, create_model, load_model

WIDE = {"semantic": True, "head_channels": 24}


def lightness(seed: int, size: tuple[int, int] = (96, 160)) -> torch.Tensor:
    picture = synthetic_clip(seed, frames=1, size=size).float().mean(dim=1, keepdim=True)
    return picture / 127.5 - 1


def test_a_new_network_has_the_classifier_that_ships() -> None:
    new, shipped = create_model("tiny", **WIDE), load_model("base")
    assert new.semantic is not None
    assert shipped.semantic is not None
    for name, value in shipped.semantic.state_dict().items():
        assert torch.equal(new.semantic.state_dict()[name], value), name
    assert not torch.equal(SemanticEncoder().stem[0].weight, shipped.semantic.stem[0].weight)


def test_features_are_of_one_scale_and_follow_the_picture() -> None:
    encoder = load_model("base").semantic
    assert encoder is not None
    one = encoder(torch.cat([lightness(seed) for seed in range(6)]))
    assert one.shape == (6, encoder.channels, 12, 20)
    assert 0.3 < one.std() < 3
    # What lies 16 pixels further left is found there.
    picture = lightness(1, (96, 192))
    features = [F.normalize(encoder(part), dim=1) for part in (picture[..., :-16], picture[..., 16:])]
    inner = match_features(features[1], features[0]).flow[..., 2:-2, 4:-4]
    assert (inner[:, 0] == 2).float().mean() > 0.8
    assert (inner[:, 1] == 0).float().mean() > 0.8


def test_it_is_neither_trained_nor_put_in_training_mode() -> None:
    torch.manual_seed(0)
    model = create_model("tiny", **WIDE).train()
    assert model.semantic is not None
    assert model.training
    assert not any(part.training for part in model.semantic.modules())
    before = {name: value.clone() for name, value in model.semantic.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    clip = torch.rand(1, 2, 1, 31, 37) - 0.5
    model(clip, torch.rand(1, 1, 3, 41, 29) - 0.5).ab.square().sum().backward()
    assert model.meaning.weight.grad is not None
    torch.optim.SGD(trained, lr=0.1).step()
    for name, value in model.semantic.state_dict().items():
        assert torch.equal(before[name], value), name


def test_what_is_compared_depends_on_it() -> None:
    torch.manual_seed(0)
    model = create_model("tiny", **WIDE).eval()
    clip, still = torch.rand(1, 1, 1, 32, 48) - 0.5, torch.rand(1, 1, 3, 32, 48) - 0.5
    with torch.no_grad():
        before = model(clip, still).copies["attended"].ab
        assert model.semantic is not None
        model.semantic.deviation.fill_(1e6)
        assert not torch.allclose(before, model(clip, still).copies["attended"].ab)
