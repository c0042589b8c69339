"""The attention against a written-out n x m computation, by hand, and by its properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from ca_attention import SourceReferenceAttention
from einops import rearrange
from torch import Tensor

SIZES = [(3, 7), (11, 2)]


def maps(
    channels: int, sizes: list[tuple[int, int]] = SIZES, *, batch: int = 2, seed: int = 0
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, h, w, generator=generator, dtype=torch.float64) for h, w in sizes]


def make(channels: int = 15, *, gamma: float = 0.7, temperature: float | None = None, **options: int):
    torch.manual_seed(1)
    attention = SourceReferenceAttention(channels, **options).double()
    torch.nn.init.constant_(attention.gamma, gamma)
    if temperature is not None:
        torch.nn.init.constant_(attention.log_temperature, math.log(temperature))
    return attention


def written_out(attention, source: Tensor, references: list[Tensor], carried: list[Tensor]):
    """The same function with the n x m matrix in plain sight."""
    heads = {"k": attention.heads}
    tokens = torch.cat([x.flatten(2).mT for x in references], dim=1)
    copies = torch.cat([x.flatten(2).mT for x in carried], dim=1)
    q = rearrange(attention.to_query(source.flatten(2).mT), "b n (k d) -> b k n d", **heads)
    k = rearrange(attention.to_key(tokens), "b n (k d) -> b k n d", **heads)
    v = rearrange(attention.to_value(tokens), "b n (k d) -> b k n d", **heads)
    cosine = F.cosine_similarity(q[:, :, :, None], k[:, :, None], dim=-1)
    matrix = (attention.log_temperature.exp()[:, None, None] * cosine).softmax(dim=-1)
    color = attention.norm(attention.to_out(rearrange(matrix @ v, "b k n d -> b n (k d)")))
    features = source + attention.gamma * color.mT.unflatten(2, source.shape[2:])
    similarity = (matrix * cosine).sum(dim=-1).unflatten(2, source.shape[2:])
    found = torch.einsum("bknm,bmv->bkvn", matrix, copies).unflatten(3, source.shape[2:])
    return features, similarity, found


def test_equals_the_written_out_matrix():
    attention = make(15, reference_channels=7, heads=3)
    with torch.no_grad():
        attention.log_temperature.copy_(torch.tensor([0.5, 5.0, 50.0]).log())
    source, references, ab = maps(15, [(5, 13)], seed=3)[0], maps(7), maps(2, seed=4)
    out = attention(source, attention.encode(references, carried=ab))
    features, similarity, found = written_out(attention, source, references, ab)
    torch.testing.assert_close(out.features, features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.similarity, similarity, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.carried, found, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out.confidence, out.similarity.amax(1, keepdim=True).clamp(0, 1))
    assert out.carried.shape == (2, 3, 2, 5, 13)


def test_descriptors_compare_as_the_heads_do():
    """Their products are the heads' cosine similarities, weighted by temperature."""
    attention = make(15, reference_channels=7, heads=3)
    with torch.no_grad():
        attention.log_temperature.copy_(torch.tensor([0.5, 5.0, 50.0]).log())
    one, other = maps(15, [(2, 3)], seed=3)[0], maps(15, [(2, 3)], seed=4)[0]
    a, b = attention.descriptors(one), attention.descriptors(other)
    torch.testing.assert_close(a.norm(dim=1), torch.ones(2, 2, 3).double(), rtol=1e-4, atol=1e-4)
    heads = [attention.to_query(x.flatten(2).transpose(1, 2)).unflatten(-1, (3, -1)) for x in (one, other)]
    cosine = torch.nn.functional.cosine_similarity(*heads, dim=-1)
    expected = (cosine * torch.tensor([0.5, 5.0, 50.0]).double() / 55.5).sum(-1)
    torch.testing.assert_close((a * b).sum(1).flatten(1), expected, rtol=1e-3, atol=1e-4)


def test_recall_is_the_attention_with_queries_for_keys():
    """A frame taken for a reference, its descriptors for both: the same copies and similarities, nothing learnt."""
    attention = make(15, heads=3, query_channels=15)  # both projections start equal
    with torch.no_grad():
        attention.log_temperature.copy_(torch.tensor([0.5, 5.0, 50.0]).log())
    one, other, ab = (
        maps(15, [(2, 3)], seed=3)[0],
        maps(15, [(5, 4)], seed=4)[0],
        maps(2, [(5, 4)], seed=5)[0],
    )
    tokens = attention.encode([other], keys=[other], carried=[ab])
    out = attention(one, tokens, query=one)
    copies, similarity = attention.recall(attention.descriptors(one), attention.descriptors(other), ab)
    torch.testing.assert_close(copies, out.carried, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(similarity, out.similarity, rtol=1e-3, atol=1e-4)
    assert not copies.requires_grad


def test_value_by_hand():
    """Cosines 1 and 0 at temperature ln 3 weigh 3 : 1: a carried (8, 0) becomes 6, similarity 0.75."""
    attention = make(2, heads=1, temperature=math.log(3))
    for layer in (attention.to_query, attention.to_key, attention.to_value, attention.to_out):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    references = [torch.tensor([[[[4.0]], [[0.0]]]]).double(), torch.tensor([[[[0.0]], [[0.5]]]]).double()]
    ab = [torch.full((1, 1, 1, 1), 8.0).double(), torch.zeros(1, 1, 1, 1).double()]
    source = torch.tensor([[[[2.0]], [[0.0]]]]).double()
    out = attention(source, attention.encode(references, carried=ab))
    assert out.carried.item() == pytest.approx(6.0, abs=1e-4)
    assert out.confidence.item() == pytest.approx(0.75, abs=1e-4)
    # A v = (3, 0.125): layer norm makes that (1, -1), gamma 0.7
    assert out.features.flatten().tolist() == pytest.approx([2.7, -0.7], abs=1e-4)


def test_starts_as_the_identity():
    attention = SourceReferenceAttention(12)
    source = torch.randn(2, 12, 3, 5)
    out = attention(source, attention.encode([torch.randn(2, 12, 7, 2)]))
    assert torch.equal(out.features, source)
    assert out.carried is None


def test_order_and_repetition_of_references_change_nothing():
    attention = make(heads=5)
    source, references, ab = maps(15, [(5, 13)], seed=3)[0], maps(15), maps(2, seed=4)
    plain = attention(source, attention.encode(references, carried=ab))
    for order in ([1, 0], [0, 1, 0, 1], [1, 1, 1, 0, 0, 0]):
        tokens = attention.encode([references[i] for i in order], carried=[ab[i] for i in order])
        for got, expected in zip(attention(source, tokens), plain, strict=True):
            torch.testing.assert_close(got, expected)


def test_an_irrelevant_reference_hardly_moves_colour_and_confidence():
    attention = make(8, heads=2, query_channels=8, temperature=100.0)
    (ref,), (ab,) = maps(8, [(3, 5)]), maps(2, [(3, 5)], seed=4)
    plain = attention(ref, attention.encode([ref], keys=[ref], carried=[ab]), query=ref)
    bias = 2 * attention.to_key.bias @ torch.linalg.pinv(attention.to_key.weight).T
    opposite = -ref.repeat(1, 1, 1, 4) - bias.reshape(1, -1, 1, 1)  # projects to exactly minus the key
    tokens = attention.encode(
        [ref, opposite], keys=[ref, opposite], carried=[ab, torch.full_like(ab, 9.0).repeat(1, 1, 1, 4)]
    )
    more = attention(ref, tokens, query=ref)
    assert plain.confidence.min() > 0.95
    assert (more.confidence - plain.confidence).abs().max() < 0.05
    alone = attention(ref, attention.encode([opposite[..., :1, :1]], keys=[opposite[..., :1, :1]]), query=ref)
    assert alone.similarity.amin() < -0.99
    assert alone.confidence.min() >= 0


def left(x: Tensor, columns: int) -> Tensor:
    """A mask of the first columns."""
    return (torch.arange(x.shape[-1]) < columns).expand(x.shape[0], 1, *x.shape[2:])


@pytest.mark.parametrize("temperature", [1.0, 100.0])
def test_masked_tokens_are_as_if_they_were_not_there(temperature: float):
    attention = make(15, heads=3, temperature=temperature)
    source, references, ab = maps(15, [(5, 13)], seed=3)[0], maps(15), maps(2, seed=4)
    ab[0][..., 2:] = torch.nan  # what a mask hides may be anything
    tokens = attention.encode(references, carried=ab, valid=[left(references[0], 2), None])
    cut = [references[0][..., :2], references[1]]
    expected = attention(source, attention.encode(cut, carried=[ab[0][..., :2], ab[1]]))
    for got, want in zip(attention(source, tokens), expected, strict=True):
        torch.testing.assert_close(got, want)


def test_a_mask_that_hides_nothing_changes_nothing():
    attention = make(15, heads=3)
    source, references, ab = maps(15, [(5, 13)], seed=3)[0], maps(15), maps(2, seed=4)
    plain = attention(source, attention.encode(references, carried=ab))
    tokens = attention.encode(references, carried=ab, valid=[left(references[0], 7), None])
    for got, expected in zip(attention(source, tokens), plain, strict=True):
        torch.testing.assert_close(got, expected)
    assert not attention.encode(references, carried=ab, valid=[None, None]).partial


def test_where_everything_is_masked_nothing_is_found():
    """In one sample of two; the other does not notice."""
    attention = make(15, heads=3, temperature=100.0)
    source, references, ab = maps(15, [(5, 13)], seed=3)[0], maps(15, SIZES[:1]), maps(2, SIZES[:1], seed=4)
    mask = torch.zeros(2, 1, 3, 7, dtype=torch.bool)
    mask[1] = True
    out = attention(source, attention.encode(references, carried=ab, valid=[mask]))
    for nothing in (out.similarity[0], out.confidence[0], out.carried[0]):
        assert nothing.abs().max() == 0
    plain = attention(source, attention.encode(references, carried=ab))
    for got, expected in zip(out, plain, strict=True):
        torch.testing.assert_close(got[1], expected[1])


def test_gradients_pass_a_mask_and_end_behind_it():
    attention = make(4, heads=2, gamma=0.3)
    source, references, ab = (
        maps(4, [(2, 1)], batch=1)[0],
        maps(4, [(1, 3)], batch=1),
        maps(2, [(1, 3)], batch=1),
    )
    inputs = [x.requires_grad_() for x in (source, references[0], ab[0])]
    mask = [left(references[0], 2)]

    def call(source: Tensor, reference: Tensor, ab: Tensor) -> tuple[Tensor, ...]:
        return tuple(attention(source, attention.encode([reference], carried=[ab], valid=mask)))

    assert torch.autograd.gradcheck(call, inputs)
    sum(x.sum() for x in call(*inputs)).backward()
    for x in inputs[1:]:
        assert x.grad[..., 2:].abs().max() == 0
        assert x.grad[..., :2].abs().min() > 0


def test_equal_features_match_from_the_first_step():
    attention = make(6, heads=2, head_channels=16, query_channels=19, temperature=100.0)
    (features,), (keys,), (ab,) = maps(6, [(3, 5)]), maps(19, [(3, 5)], seed=2), maps(2, [(3, 5)], seed=4)
    out = attention(features, attention.encode([features], keys=[keys], carried=[ab]), query=keys)
    torch.testing.assert_close(out.carried, ab[:, None].expand_as(out.carried), rtol=0, atol=0.1)
    assert out.confidence.min() > 0.98


def test_frames_of_a_clip_share_their_tokens():
    attention = make(heads=3)
    frames = maps(15, [(5, 7)], batch=6)[0]
    tokens = attention.encode(maps(15, seed=5), carried=maps(2, seed=6))
    together = attention(frames, tokens)
    for clip in range(2):
        own = tokens._replace(keys=tokens.keys[clip : clip + 1], values=tokens.values[clip : clip + 1])
        for t in range(3):
            place = slice(clip * 3 + t, clip * 3 + t + 1)
            alone = attention(frames[place], own)
            for got, expected in zip(together, alone, strict=True):
                torch.testing.assert_close(got[place], expected)


def test_gradcheck():
    attention = make(4, heads=2, gamma=0.3)
    source, references, ab = (
        maps(4, [(2, 1)], batch=1)[0],
        maps(4, [(1, 3)], batch=1, seed=1),
        maps(1, [(1, 3)]),
    )
    inputs = [source, references[0], ab[0][:1]]
    for x in inputs:
        x.requires_grad_()
    attention.double()

    def call(source: Tensor, reference: Tensor, ab: Tensor) -> tuple[Tensor, ...]:
        # float32 inside would hide behind gradcheck's tolerance: every output must stay float64
        out = attention(source, attention.encode([reference], carried=[ab]))
        assert all(x.dtype == torch.float64 for x in out)
        return tuple(out)

    assert torch.autograd.gradcheck(call, inputs)


def test_every_parameter_learns():
    attention = make(6, heads=2, query_channels=5, reference_channels=7)
    tokens = attention.encode(maps(7), keys=maps(5), carried=maps(2))
    out = attention(maps(6, [(3, 5)])[0], tokens, query=maps(5, [(3, 5)])[0])
    (out.features.square().sum() + out.carried.square().sum() + out.confidence.sum()).backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_black_frame_has_finite_gradients():
    attention = SourceReferenceAttention(4, heads=2)
    torch.nn.init.zeros_(attention.to_query.bias)
    source = torch.zeros(1, 4, 2, 3, requires_grad=True)
    out = attention(source, attention.encode([torch.randn(1, 4, 3, 5)]))
    out.similarity.sum().backward()
    assert out.confidence.abs().max() == 0
    assert source.grad.abs().max() < 1e4


def test_bfloat16_autocast_keeps_the_normalisation_in_float32():
    attention = make(16, heads=2, query_channels=8).float()
    references, keys = [x.float() for x in maps(16)], [x.float() for x in maps(8)]
    ab = [x.float().tanh() for x in maps(2)]
    source, query = references[0], keys[0]
    exact = attention(source, attention.encode(references, keys=keys, carried=ab), query=query)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attention(source, attention.encode(references, keys=keys, carried=ab), query=query)
    assert out.similarity.dtype == torch.float32
    assert (out.similarity - exact.similarity).abs().max() < 0.02
    assert (out.carried.float() - exact.carried).abs().max() < 0.04
    out.confidence.sum().backward()
    assert attention.log_temperature.grad.isfinite().all()


def test_tokens_made_under_autocast_serve_without_it():
    attention = SourceReferenceAttention(8, heads=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = attention.encode([torch.randn(1, 8, 3, 5)])
    assert attention(torch.randn(1, 8, 2, 3), tokens).features.dtype == torch.float32


def test_temperature_starts_at_10_and_stops_at_100():
    attention = SourceReferenceAttention(8, heads=2)
    torch.testing.assert_close(attention.temperature, torch.full((2,), 10.0))
    torch.nn.init.constant_(attention.log_temperature, 30.0)
    torch.testing.assert_close(attention.temperature, torch.full((2,), 100.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 10, "heads": 4}, r"channels: expected a multiple of heads=4, got 10; .*head_channels"),
        ({"channels": 0}, r"expected positive numbers, got 0 and 4"),
    ],
)
def test_construction_errors(options: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        SourceReferenceAttention(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"references": []}, r"references: expected at least one map .* got none; give a reference"),
        (
            {"references": [torch.rand(1, 3, 2, 2)]},
            r"references\[0\]: expected .* \(b, 8, h, w\), got \(1, 3, 2, 2\)",
        ),
        ({"references": [torch.rand(8, 2, 2)]}, r"references\[0\]: expected .*got \(8, 2, 2\)"),
        ({"references": [torch.rand(1, 8, 0, 2)]}, r"references\[0\]: expected a non-empty"),
        (
            {"references": [torch.rand(1, 8, 2, 2), torch.rand(2, 8, 2, 2)]},
            r"references\[1\]: expected batch size 1 .* got 2; every sample",
        ),
        (
            {"references": [torch.rand(1, 8, 2, 3)], "carried": [torch.rand(1, 2, 3, 2)]},
            r"carried: expected one map per reference .*\(1, 2, 3\).* got .*\(1, 3, 2\).*resize",
        ),
        (
            {"references": [torch.rand(1, 8, 2, 3)], "keys": [torch.rand(1, 8, 2, 3)]},
            r"keys: expected none .*query_channels=None, got 1; set query_channels",
        ),
        (
            {"references": [torch.rand(1, 8, 2, 3)], "valid": [torch.ones(1, 1, 3, 2, dtype=torch.bool)]},
            r"valid\[0\]: expected a boolean mask of shape \(1, 1, 2, 3\), got .* \(1, 1, 3, 2\); bring",
        ),
        (
            {"references": [torch.rand(1, 8, 2, 3)], "valid": [torch.ones(1, 1, 2, 3)]},
            r"valid\[0\]: expected a boolean mask .* got torch.float32",
        ),
        (
            {
                "references": [torch.rand(1, 8, 2, 3)],
                "valid": [torch.ones(1, 1, 2, 3, dtype=torch.bool), None],
            },
            r"valid: expected one mask .* of the 1 references, got 2",
        ),
    ],
)
def test_encode_errors(arguments: dict, message: str):
    attention = SourceReferenceAttention(8)
    references = arguments.pop("references")
    with pytest.raises(ValueError, match=message):
        attention.encode(references, **arguments)


def test_forward_errors():
    attention = SourceReferenceAttention(8)
    tokens = attention.encode([torch.rand(2, 8, 2, 3)])
    with pytest.raises(ValueError, match=r"source: expected .*\(b, 8, h, w\), got \(2, 5, 2, 3\)"):
        attention(torch.rand(2, 5, 2, 3), tokens)
    with pytest.raises(ValueError, match=r"source: expected a batch that is a multiple of the tokens' 2"):
        attention(torch.rand(3, 8, 2, 3), tokens)
    with pytest.raises(ValueError, match=r"query: expected none for a module with query_channels=None"):
        attention(torch.rand(2, 8, 2, 3), tokens, query=torch.rand(2, 8, 2, 3))
    with pytest.raises(ValueError, match=r"tokens: expected \(heads, width\) \(2, 8\), got \(4, 8\); encode"):
        SourceReferenceAttention(8, heads=2)(torch.rand(2, 8, 2, 3), tokens)
    separate = SourceReferenceAttention(8, query_channels=5)
    with pytest.raises(
        ValueError, match=r"keys: expected one map per reference .*query_channels=5, got none"
    ):
        separate.encode([torch.rand(2, 8, 2, 3)])
    with pytest.raises(ValueError, match=r"keys: expected one map per reference with"):
        separate.encode([torch.rand(2, 8, 2, 3)], keys=[torch.rand(2, 5, 3, 2)])
    tokens = separate.encode([torch.rand(2, 8, 2, 3)], keys=[torch.rand(2, 5, 2, 3)])
    with pytest.raises(
        ValueError, match=r"query: expected a map for a module with query_channels=5, got none"
    ):
        separate(torch.rand(2, 8, 2, 3), tokens)
    with pytest.raises(ValueError, match=r"query: expected batch, height and width of source"):
        separate(torch.rand(2, 8, 2, 3), tokens, query=torch.rand(2, 5, 3, 2))
