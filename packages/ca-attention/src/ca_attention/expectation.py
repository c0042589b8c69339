"""Expectation of values under a softmax of similarities: the inner loop of the attention."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Logits of one head held at a time: 2 MiB, so that every pass over them finds them in the cache.
_ENTRIES_AT_ONCE = 1 << 19
# Logits up to this size need no shift before they are exponents of 2: their sums stay far from the ends of float32.
_SAFE_LOGIT = 60.0


def expectation(
    query: Float[Tensor, "b k n d"],
    keys: Float[Tensor, "b k m w"],
    values: Float[Tensor, "b k m w"],
    channels: int,
    *,
    largest: float | None = None,
) -> tuple[Float[Tensor, "b k n v"], Float[Tensor, "b k n"]]:
    """Expected values, `sum_i A_i v_i`, and expected logit, `sum_i A_i q.k_i`, with `A = softmax(q.k)`.

    Fused kernels give the expected key, and by it the expected logit, at the price of another `d` channels of values,
    and take keys no narrower than values. On a CPU, where no gradient is asked for, the logits themselves are at hand
    instead, a few rows of one head at a time: about a third of the time.

    Args:
        query: of any length.
        keys: in their first `d` channels; the others are 0.
        values: in their first `channels` channels, and after them the keys once more.
        channels: number of channels of the values.
        largest: size that no logit exceeds, if that is known.

    Returns:
        Expected values and expected logit of each query.
    """
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (query, keys, values))
    if query.device.type == "cpu" and not needs_gradient and not torch.compiler.is_compiling():
        return _blockwise(query, keys[..., : query.shape[-1]], values[..., :channels], largest)
    d = query.shape[-1]
    attended = F.scaled_dot_product_attention(
        F.pad(query, (0, keys.shape[-1] - d)), keys.to(query.dtype), values.to(query.dtype), scale=1.0
    )
    expected_key = attended[..., channels : channels + d]
    precise = torch.promote_types(query.dtype, torch.float32)
    return attended[..., :channels], (expected_key.to(precise) * query.to(precise)).sum(dim=-1)


def _blockwise(
    query: Float[Tensor, "b k n d"],
    keys: Float[Tensor, "b k m d"],
    values: Float[Tensor, "b k m v"],
    largest: float | None,
) -> tuple[Float[Tensor, "b k n v"], Float[Tensor, "b k n"]]:
    # exp2 takes half as long as exp.
    query = query * math.log2(math.e)
    b, k, n, _ = query.shape
    m = keys.shape[2]
    rows = max(1, _ENTRIES_AT_ONCE // m)
    # Few channels and many tokens: the product is fast as values by weights, several times slower the other way round.
    columns = values.mT.contiguous()
    expected = values.new_empty(b, k, values.shape[-1], n)
    expected_logit = values.new_empty(b, k, n, 1)
    buffer = values.new_empty(2, min(rows, n), m)
    for place in ((i, j) for i in range(b) for j in range(k)):
        key, value = keys[place].mT, columns[place]
        for start in range(0, n, rows):
            some = slice(start, start + rows)
            logits, weights = buffer[:, : min(rows, n - start)]
            torch.mm(query[place][some], key, out=logits)
            if largest is None or largest > _SAFE_LOGIT:
                logits -= (shift := logits.amax(dim=-1, keepdim=True))
            else:
                shift = None
            torch.exp2(logits, out=weights)
            total = weights.sum(dim=-1, keepdim=True)
            torch.div(value @ weights.mT, total.mT, out=expected[place][:, some])
            mean = logits.mul_(weights).sum(dim=-1, keepdim=True).div_(total)
            expected_logit[place][some] = mean if shift is None else mean.add_(shift)
    return expected.mT, expected_logit[..., 0] * math.log(2)
