"""The expectation under a softmax of similarities, by blocks and fused, against the formula written out."""

import pytest
import torch
from ca_attention import expectation as module
from ca_attention.expectation import expectation
from torch.nn import functional as F

D, V, WIDTH = 5, 3, 16


def tensors(sharpness: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries of a length, unit keys, and values with the keys behind them, as the attention lays them out."""
    generator = torch.Generator().manual_seed(2)
    query = sharpness * F.normalize(torch.randn(2, 3, 11, D, generator=generator).double(), dim=-1)
    keys = F.normalize(torch.randn(2, 3, 17, D, generator=generator).double(), dim=-1)
    values = torch.cat([torch.randn(2, 3, 17, V, generator=generator).double(), keys], dim=-1)
    return query, F.pad(keys, (0, WIDTH - D)), F.pad(values, (0, WIDTH - V - D))


def written_out(query, keys, values):
    logits = query @ keys[..., :D].mT
    share = logits.softmax(dim=-1)
    return share @ values[..., :V], (share * logits).sum(dim=-1)


@pytest.mark.parametrize(("sharpness", "largest"), [(3.0, 3.1), (3.0, None), (90.0, 91.0), (900.0, None)])
@pytest.mark.parametrize("entries", [1, 40, 1 << 19])
def test_blocks_equal_the_formula(monkeypatch: pytest.MonkeyPatch, sharpness: float, largest, entries: int):
    """With a shift and without, a row at a time, two rows (the last block is shorter) and all rows."""
    monkeypatch.setattr(module, "_ENTRIES_AT_ONCE", entries)
    given = tensors(sharpness)
    for found, expected in zip(expectation(*given, V, largest=largest), written_out(*given), strict=True):
        torch.testing.assert_close(found, expected)


def test_fused_kernel_with_gradients_equals_the_formula():
    query, keys, values = tensors(4.0)
    query.requires_grad_()
    for found, expected in zip(
        expectation(query, keys, values, V), written_out(query, keys, values), strict=True
    ):
        torch.testing.assert_close(found, expected)
        (one,), (other,) = (
            torch.autograd.grad(x.square().sum(), query, retain_graph=True) for x in (found, expected)
        )
        torch.testing.assert_close(one, other)


def test_float32_stays_finite_at_the_largest_temperature():
    query, keys, values = (x.float() for x in tensors(100.0))
    for found, expected in zip(
        expectation(query, keys, values, V, largest=101.0), written_out(query, keys, values), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
