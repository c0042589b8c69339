"""Window attention against attention written out place by place, without rolling, padding or masks."""

import pytest
import torch
from ca_swin.windows import WindowBlock, effective_shift, window_mask
from torch import Tensor


def make(channels: int, *, heads: int, window: int) -> WindowBlock:
    torch.manual_seed(0)
    block = WindowBlock(channels, heads=heads, window=window, mlp_ratio=2.0).double().requires_grad_(False)
    torch.nn.init.normal_(block.attention.relative_position_bias_table)
    return block


def run(block: WindowBlock, x: Tensor, shift: int) -> Tensor:
    size = (x.shape[1], x.shape[2])
    shifts = effective_shift(size, block.window, shift)
    return block(x, shifts, window_mask(size, block.window, shifts))


def written_out(block: WindowBlock, x: Tensor, shift: int) -> Tensor:
    """Every place attends to those whose shifted coordinates fall into the same window."""
    _, h, w, c = x.shape
    n, attention = block.window, block.attention
    shift_y, shift_x = shift if h > n else 0, shift if w > n else 0
    places = [(row, column) for row in range(h) for column in range(w)]
    heads, d = attention.num_heads, c // attention.num_heads
    q, k, v = attention.qkv(block.norm1(x)).reshape(-1, h * w, 3, heads, d).unbind(2)
    out = torch.zeros_like(q)
    for i, (row, column) in enumerate(places):
        home = ((row - shift_y) // n, (column - shift_x) // n)
        near = [j for j, (r, s) in enumerate(places) if ((r - shift_y) // n, (s - shift_x) // n) == home]
        entries = [(row - places[j][0] + n - 1) * (2 * n - 1) + column - places[j][1] + n - 1 for j in near]
        logits = torch.einsum("bkd,bjkd->bjk", q[:, i], k[:, near]) / d**0.5
        weights = (logits + attention.relative_position_bias_table[entries]).softmax(dim=1)
        out[:, i] = torch.einsum("bjk,bjkd->bkd", weights, v[:, near])
    x = x + attention.proj(out.reshape(-1, h, w, c))
    return x + block.mlp(block.norm2(x))


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(7, 11), (8, 12), (3, 5), (5, 4), (1, 1)])
def test_equals_attention_written_out(size: tuple[int, int], shift: int):
    block = make(6, heads=2, window=4)
    x = torch.randn(2, *size, 6, dtype=torch.float64)
    torch.testing.assert_close(run(block, x, shift), written_out(block, x, shift))


def test_value_by_hand():
    """With equal logits the attention is the mean of the window: here, of each half of a row of four."""
    block = make(2, heads=1, window=2)
    attention = block.attention
    for layer in (attention.qkv, attention.proj, block.mlp.fc2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.zeros_(attention.relative_position_bias_table)
    attention.qkv.weight[4:] = torch.eye(2)
    attention.proj.weight.copy_(torch.eye(2))
    row = [[2.0, 0.0], [0.0, 2.0], [4.0, 0.0], [6.0, 0.0]]  # the layer norm makes these (1, -1) or (-1, 1)
    out = run(block, torch.tensor([[row]]).double(), 0)
    expected = torch.tensor([[[[2.0, 0.0], [0.0, 2.0], [5.0, -1.0], [7.0, -1.0]]]]).double()
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "shift"), [((7, 11), (0, 0)), ((7, 11), (2, 2)), ((8, 9), (0, 2)), ((8, 8), (2, 2))]
)
def test_mask_keeps_regions_apart(size: tuple[int, int], shift: tuple[int, int]):
    window = 4
    mask = window_mask(size, window, shift)
    whole = [-(-length // window) * window for length in size]
    windows_across = whole[1] // window
    assert mask.shape == (whole[0] * whole[1] // window**2, window**2, window**2)
    assert set(mask.unique().tolist()) == {float("-inf"), 0.0}
    for index in range(mask.shape[0]):
        top, left = divmod(index, windows_across)
        origins = []
        for place in range(window**2):
            row = top * window + place // window + shift[0]
            column = left * window + place % window + shift[1]
            real = row % whole[0] < size[0] and column % whole[1] < size[1]
            origins.append((row // whole[0], column // whole[1]) if real else None)
        for i, j in torch.cartesian_prod(torch.arange(window**2), torch.arange(window**2)).tolist():
            assert (mask[index, i, j] == 0) == (origins[i] == origins[j])


def test_no_mask_where_nothing_is_kept_apart():
    assert window_mask((8, 12), 4, (0, 0)) is None
    assert effective_shift((4, 5), window=4, shift=2) == (0, 2)


@pytest.mark.parametrize("shift", [0, 1])
def test_gradcheck(shift: int):
    block = make(2, heads=1, window=2)
    x = torch.randn(1, 3, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: run(block, x, shift), x)


@pytest.mark.parametrize("shift", [(0, 0), (2, 2)])
def test_a_frozen_block_is_the_same_function(shift: tuple[int, int]):
    block = WindowBlock(6, heads=3, window=4, mlp_ratio=2.0).double()
    torch.nn.init.normal_(block.attention.relative_position_bias_table)
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64)
    mask = window_mask((5, 7), 4, shift).double()
    expected = block(x, shift, mask)
    block.freeze()
    torch.testing.assert_close(block(x, shift, mask), expected)
    whole = torch.randn(1, 8, 4, 6, dtype=torch.float64)
    thawed = WindowBlock(6, heads=3, window=4, mlp_ratio=2.0).double()
    expected = thawed(whole, (0, 0), None)
    thawed.freeze()
    torch.testing.assert_close(thawed(whole, (0, 0), None), expected)
