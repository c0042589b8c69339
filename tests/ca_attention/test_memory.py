"""Nothing the attention does, forward or backward, may hold a matrix of queries times reference tokens."""

import torch
from ca_attention import SourceReferenceAttention
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operator below autograd returned, and the operators' names."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0
        self.operators: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operators.add(func.name())
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                self.numel = max(self.numel, x.numel())
        return out


def test_the_probe_sees_a_matrix():
    with LargestTensor() as probe:
        torch.rand(50, 3) @ torch.rand(3, 70)
    assert probe.numel == 50 * 70


def test_16_references_at_384_by_224_never_become_a_matrix():
    h, w, references, channels = 28, 48, 16, 16
    torch.manual_seed(0)
    attention = SourceReferenceAttention(channels, heads=2)
    stills = [torch.randn(1, channels, h, w) for _ in range(references)]
    ab = [torch.randn(1, 2, h, w) for _ in range(references)]
    with LargestTensor() as probe:
        out = attention(torch.randn(1, channels, h, w), attention.encode(stills, carried=ab))
        (out.features.mean() + out.confidence.mean() + out.carried.mean()).backward()
    n, m = h * w, references * h * w
    assert probe.numel < n * m / 10, "the n x m matrix is held"
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in probe.operators
    assert attention.to_key.weight.grad.abs().sum() > 0
