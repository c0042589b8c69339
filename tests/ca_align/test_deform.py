"""Deformable convolution: both paths against each other, a plain convolution, and the sum written out."""

import ca_align.deform
import pytest
import torch
from ca_align import DeformConv2d, deform_conv2d
from torch.nn import functional as F

PATHS = ["torchvision", "sampling"]
# channels, offset groups, kernel, padding, modulated
CASES = [
    (6, 2, (3, 3), 1, False),
    (6, 3, (3, 3), (0, 2), True),
    (6, 6, (1, 1), 0, True),
    (6, 1, (3, 5), (2, 1), False),
    (6, 3, (1, 1), 0, False),
]


def operands(case, scale: float, dtype=torch.float64):
    channels, groups, kernel, padding, modulated = case
    pad = (padding, padding) if isinstance(padding, int) else padding
    rows, columns = 11 + 2 * pad[0] - kernel[0] + 1, 13 + 2 * pad[1] - kernel[1] + 1
    taps = groups * kernel[0] * kernel[1]
    values = [
        torch.randn(2, channels, 11, 13, dtype=dtype),
        torch.randn(2, 2 * taps, rows, columns, dtype=dtype) * scale,
        torch.randn(5, channels, *kernel, dtype=dtype),
        torch.randn(5, dtype=dtype),
    ]
    if modulated:
        values.append(torch.rand(2, taps, rows, columns, dtype=dtype))
    return [value.requires_grad_() for value in values]


def value_and_gradients(path: str, inputs, padding):
    out = deform_conv2d(*inputs, padding=padding, path=path)
    cotangent = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    return [out, *torch.autograd.grad(out, inputs, cotangent)]


@pytest.mark.parametrize("scale", [0.0, 0.7, 5.0, 1e6])
@pytest.mark.parametrize("case", CASES)
def test_both_paths_give_equal_values_and_gradients(case, scale: float):
    inputs = operands(case, scale)
    expected = value_and_gradients("torchvision", inputs, case[3])
    for got, want in zip(value_and_gradients("sampling", inputs, case[3]), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    if scale == 5.0:
        assert expected[2].abs().max() > 0.1


@pytest.mark.parametrize("shift", [0, 2, -3])
def test_both_paths_take_the_same_side_of_the_kink_in_single_precision(shift: int):
    """At whole offsets the derivative jumps; a rounded coordinate would take the other side at some pixels."""
    inputs = operands(CASES[0], 0.0, torch.float32)
    with torch.no_grad():
        inputs[1] += shift
    expected = value_and_gradients("torchvision", inputs, 1)
    for got, want in zip(value_and_gradients("sampling", inputs, 1), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES)
def test_zero_offsets_are_a_plain_convolution(case, path: str):
    x, offset, weight, bias, *_ = operands(case, 0.0)
    out = deform_conv2d(x, offset, weight, bias, padding=case[3], path=path)
    plain = F.conv2d(x, weight, bias, padding=case[3])
    torch.testing.assert_close(out, plain, rtol=1e-10, atol=1e-10)
    cotangent = torch.randn_like(plain)
    got = torch.autograd.grad(out, (x, weight, bias), cotangent)
    want = torch.autograd.grad(plain, (x, weight, bias), cotangent)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("path", PATHS)
def test_equals_the_sum_written_out(path: str):
    x, offset, weight, bias, mask = (v.detach() for v in operands((2, 2, (3, 3), (1, 0), True), 1.5))
    x, offset, mask = x[:1, :, :5, :7], offset[:1, :, :5, :5], mask[:1, :, :5, :5]
    weight = weight[:1]

    def read(channel: int, y: float, z: float) -> float:
        total = 0.0
        for row in range(5):
            for column in range(7):
                near = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(z - column))
                total += near * x[0, channel, row, column].item()
        return total

    out = deform_conv2d(x, offset, weight, bias[:1], mask, padding=(1, 0), path=path)
    for row in range(5):
        for column in range(5):
            total = bias[0].item()
            for group in range(2):
                for tap in range(9):
                    dy, dx = offset[0, group * 18 + 2 * tap : group * 18 + 2 * tap + 2, row, column].tolist()
                    value = read(group, row + tap // 3 - 1 + dy, column + tap % 3 + dx)
                    factor = mask[0, group * 9 + tap, row, column].item()
                    total += weight[0, group, tap // 3, tap % 3].item() * factor * value
            assert out[0, 0, row, column].item() == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("path", PATHS)
def test_values_by_hand(path: str):
    """A 2 x 3 map 1..6 read 1 down, half a pixel right, and beyond the border, where half of each value is 0."""
    x = torch.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    one = torch.ones(1, 1, 1, 1)

    def moved(dy: float, dx: float) -> list[list[float]]:
        offset = torch.tensor([dy, dx]).reshape(1, 2, 1, 1).expand(1, 2, 2, 3).contiguous()
        return deform_conv2d(x, offset, one, padding=0, path=path)[0, 0].tolist()

    assert moved(1, 0) == [[4, 5, 6], [0, 0, 0]]
    assert moved(0, 0.5) == [[1.5, 2.5, 1.5], [4.5, 5.5, 3]]
    assert moved(-0.5, -1) == [[0, 0.5, 1], [0, 2.5, 3.5]]
    assert moved(-1, 0) == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize("path", PATHS)
def test_each_offset_group_moves_its_own_channels(path: str):
    x = torch.rand(1, 4, 5, 7)
    offset = torch.zeros(1, 4, 5, 7)
    offset[:, 3] = 1  # the second group, along x
    out = deform_conv2d(x, offset, torch.eye(4)[:, :, None, None], padding=0, path=path)
    torch.testing.assert_close(out[:, :2], x[:, :2])
    torch.testing.assert_close(out[:, 2:, :, :-1], x[:, 2:, :, 1:])


def test_gradcheck_of_the_sampling_path():
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    # Away from whole pixels, where the derivative jumps.
    whole = torch.randint(-1, 2, (1, 36, 2, 3))
    offset = (whole + 0.2 + 0.6 * torch.rand(1, 36, 2, 3)).double().requires_grad_()
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 18, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *values: deform_conv2d(*values, path="sampling"), (x, offset, weight, bias, mask)
    )


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    inputs = operands(CASES[1], 2.0)
    inputs[0] = inputs[0][[0, 1, 1, 0, 0]]
    inputs[1], inputs[4] = inputs[1][[0, 1, 0, 1, 1]], inputs[4][[1, 0, 1, 0, 1]]
    whole = deform_conv2d(*inputs, padding=(0, 2), path="sampling")
    taps = 6 * 9 * whole.shape[2] * whole.shape[3]
    for block in (1, 2 * taps):
        monkeypatch.setattr(ca_align.deform, "BLOCK", block)
        torch.testing.assert_close(deform_conv2d(*inputs, padding=(0, 2), path="sampling"), whole)


def test_auto_samples_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ca_align.deform, "torchvision_deform_conv2d", None)
    inputs = operands(CASES[0], 1.0)
    torch.testing.assert_close(deform_conv2d(*inputs), deform_conv2d(*inputs, path="sampling"))


def test_half_precision_features_keep_their_dtype_and_full_precision_positions():
    x = torch.rand(1, 4, 3, 257).bfloat16()
    offset = torch.full((1, 2, 3, 257), 0.0)
    offset[:, 1] = 0.125
    weight = torch.eye(4)[:, :, None, None]
    out = deform_conv2d(x, offset, weight, padding=0)
    assert out.dtype == torch.bfloat16
    expected = 0.875 * x[..., :-1].float() + 0.125 * x[..., 1:].float()
    torch.testing.assert_close(out[..., :-1].float(), expected, rtol=0, atol=4e-3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": (6, 5, 7)}, r"x: expected b c h w, got \(6, 5, 7\)"),
        ({"weight": (5, 4, 3, 3)}, r"weight: expected o 6 kh kw .* got \(5, 4, 3, 3\)"),
        ({"offset": (2, 35, 5, 7)}, r"offset: expected 2 \* 9 channels times .* divides 6, got 35"),
        ({"offset": (2, 72, 5, 7)}, r"offset: expected 2 \* 9 channels times .* divides 6, got 72"),
        (
            {"offset": (2, 36, 3, 7)},
            r"offset: expected \(2, 36, 5, 7\), got \(2, 36, 3, 7\); .* output's grid",
        ),
        ({"offset": (1, 36, 5, 7)}, r"offset: expected \(2, 36, 5, 7\), got \(1, 36, 5, 7\)"),
        ({"mask": (2, 9, 5, 7)}, r"mask: expected \(2, 18, 5, 7\), got \(2, 9, 5, 7\)"),
        ({"path": "cuda"}, r"path: expected one of auto, torchvision, sampling, got 'cuda'"),
    ],
)
def test_errors_name_what_does_not_fit(change, text: str):
    shapes = {"x": (2, 6, 5, 7), "offset": (2, 36, 5, 7), "weight": (5, 6, 3, 3)}
    path = change.pop("path", "auto")
    values = {name: torch.zeros(shape) for name, shape in (shapes | change).items()}
    with pytest.raises(ValueError, match=text):
        deform_conv2d(**values, path=path)


@pytest.mark.parametrize("path", ["auto", *PATHS])
def test_layer_without_motion_is_a_plain_convolution(path: str):
    layer = DeformConv2d(6, 5, offset_groups=3, modulated=True, path=path)
    assert (layer.offset_channels, layer.mask_channels) == (54, 27)
    x = torch.randn(2, 6, 7, 11)
    out = layer(x, torch.zeros(2, 54, 7, 11), torch.full((2, 27, 7, 11), 0.5))
    torch.testing.assert_close(out, F.conv2d(x, layer.weight / 2, layer.bias, padding=1))


def test_layer_errors():
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 2"):
        DeformConv2d(6, 5, 2)
    with pytest.raises(ValueError, match="offset_groups: expected a divisor of in_channels = 6, got 4"):
        DeformConv2d(6, 5, offset_groups=4)
    with pytest.raises(ValueError, match="path: expected one of"):
        DeformConv2d(6, 5, path="fast")
    x = torch.zeros(1, 6, 5, 7)
    with pytest.raises(ValueError, match="mask: expected 9 channels with modulated=True, got none"):
        DeformConv2d(6, 5, modulated=True)(x, torch.zeros(1, 18, 5, 7))
    with pytest.raises(ValueError, match="mask: expected none with modulated=False, got 9 channels"):
        DeformConv2d(6, 5)(x, torch.zeros(1, 18, 5, 7), torch.zeros(1, 9, 5, 7))
    with pytest.raises(ValueError, match="offset: expected 18 channels, got 36"):
        DeformConv2d(6, 5)(x, torch.zeros(1, 36, 5, 7))
