"""Adaptive instance normalisation behind the attention's call."""

import pytest
import torch
from ca_attention import AdaptiveInstanceNorm


def make(channels: int = 5, *, reference_channels: int = 7, heads: int = 3) -> AdaptiveInstanceNorm:
    torch.manual_seed(0)
    adain = AdaptiveInstanceNorm(channels, reference_channels=reference_channels, heads=heads).double()
    torch.nn.init.constant_(adain.gamma, 0.7)
    return adain


def references(channels: int, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(channels)
    sizes = [(3, 7), (11, 2)]
    return [torch.randn(batch, channels, h, w, generator=generator, dtype=torch.float64) for h, w in sizes]


def test_equals_the_written_out_statistics():
    adain = make()
    source, refs, ab = torch.randn(2, 5, 13, 17).double(), references(7), references(2)
    out = adain(source, adain.encode(refs, carried=ab))
    for b in range(2):
        tokens = adain.to_value(torch.cat([x[b].flatten(1).T for x in refs]))
        for c in range(5):
            own = source[b, c]
            normal = (own - own.mean()) / own.std(correction=0)
            color = tokens[:, c].std(correction=0) * normal + tokens[:, c].mean()
            torch.testing.assert_close(out.features[b, c], own + 0.7 * color, rtol=1e-4, atol=1e-4)
        mean = torch.cat([x[b].flatten(1) for x in ab], dim=1).mean(dim=1)
        assert out.carried.shape == (2, 3, 2, 13, 17)
        torch.testing.assert_close(out.carried[b], mean[None, :, None, None].expand(3, 2, 13, 17))


def test_value_by_hand():
    """Source -1, 1 (spread 1) takes spread 2 and mean 10 from a reference of 8, 12: colour 8, 12."""
    adain = make(1, reference_channels=1)
    torch.nn.init.ones_(adain.to_value.weight)
    torch.nn.init.zeros_(adain.to_value.bias)
    source = torch.tensor([[[[-1.0, 1.0]]]]).double()
    out = adain(source, adain.encode([torch.tensor([[[[8.0], [12.0]]]]).double()]))
    assert out.features.flatten().tolist() == pytest.approx([-1 + 0.7 * 8, 1 + 0.7 * 12], abs=1e-3)
    assert out.carried is None


def test_matches_nothing_and_starts_as_the_identity():
    adain = AdaptiveInstanceNorm(5)
    source = torch.randn(2, 5, 3, 7)
    query = torch.randn(2, 4, 3, 7)
    tokens = adain.encode([torch.randn(2, 5, 2, 2)], keys=[torch.randn(2, 4, 2, 2)])
    out = adain(source, tokens, query=query)
    assert torch.equal(out.features, source)
    assert out.confidence.shape == (2, 1, 3, 7)
    assert out.similarity.shape == (2, 4, 3, 7)
    assert out.confidence.abs().max() == out.similarity.abs().max() == 0


def test_order_and_repetition_of_references_change_nothing():
    adain = make()
    source, refs, ab = torch.randn(2, 5, 3, 7).double(), references(7), references(2)
    plain = adain(source, adain.encode(refs, carried=ab))
    for order in ([1, 0], [0, 1, 0, 1]):
        out = adain(source, adain.encode([refs[i] for i in order], carried=[ab[i] for i in order]))
        torch.testing.assert_close(out.features, plain.features)
        torch.testing.assert_close(out.carried, plain.carried)


def test_frames_of_a_clip_share_their_tokens():
    adain = make()
    frames = torch.randn(6, 5, 3, 7).double()
    tokens = adain.encode(references(7), carried=references(2))
    together = adain(frames, tokens)
    for clip in range(2):
        own = tokens._replace(keys=tokens.keys[clip : clip + 1], values=tokens.values[clip : clip + 1])
        for t in range(3):
            place = slice(clip * 3 + t, clip * 3 + t + 1)
            alone = adain(frames[place], own)
            torch.testing.assert_close(together.features[place], alone.features)
            torch.testing.assert_close(together.carried[place], alone.carried)


def test_gradcheck():
    adain = make(2, reference_channels=3, heads=1)
    inputs = [torch.randn(1, 2, 2, 3), torch.randn(1, 3, 1, 3), torch.randn(1, 1, 1, 3)]
    inputs = [x.double().requires_grad_() for x in inputs]

    def call(source, reference, ab):
        out = adain(source, adain.encode([reference], carried=[ab]))
        return out.features, out.carried

    assert torch.autograd.gradcheck(call, inputs)


def test_errors():
    with pytest.raises(ValueError, match=r"expected positive numbers, got 5 and 0"):
        AdaptiveInstanceNorm(5, heads=0)
    adain = AdaptiveInstanceNorm(5)
    with pytest.raises(ValueError, match=r"references: expected at least one map"):
        adain.encode([])
    with pytest.raises(ValueError, match=r"carried: expected one map per reference"):
        adain.encode([torch.rand(1, 5, 2, 3)], carried=[torch.rand(1, 2, 3, 2)])
    tokens = adain.encode([torch.rand(1, 5, 2, 3)])
    with pytest.raises(ValueError, match=r"source: expected .*\(b, 5, h, w\), got \(1, 4, 2, 3\)"):
        adain(torch.rand(1, 4, 2, 3), tokens)
    with pytest.raises(ValueError, match=r"tokens: expected keys of shape \(b, 1, 1, 7\).*encode"):
        AdaptiveInstanceNorm(7)(torch.rand(1, 7, 2, 3), tokens)
