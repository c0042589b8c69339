"""FlexAlign: against Eq. 2-5 written out, its switches, and a translated neighbour brought into place."""

import pytest
import torch
from ca_align import FlexAlign, warp
from ca_align.align import FLOW_RADIUS
from ca_align.flow import local_correlation
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

SWITCHES = [
    {},
    {"modulated": True},
    {"kernel_size": 1},
    {"prior": False},
    {"alignment": "flow"},
    {"alignment": "flow", "prior": False},
]


def randomize(module: FlexAlign, std: float = 0.2) -> FlexAlign:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module.double()


def up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class WrittenOut:
    """Eq. 2-5 and N4-N6 for one neighbour at a time, by torchvision's operator and plain convolutions."""

    def __init__(self, module: FlexAlign, switches: dict[str, object]) -> None:
        self.weights = dict(module.named_parameters())
        self.kernel = int(switches.get("kernel_size", 3))
        self.modulated = bool(switches.get("modulated", False))
        self.prior = bool(switches.get("prior", True))
        self.flow = switches.get("alignment") == "flow"

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return F.conv2d(x, weight, self.weights.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def align(self, name: str, moving: Tensor, target: Tensor, below: Tensor | None) -> tuple[Tensor, Tensor]:
        near, clue = moving, 0
        if self.flow:
            near = moving if below is None else warp(moving, below)
            cosine = local_correlation(F.normalize(target, dim=1), F.normalize(near, dim=1), FLOW_RADIUS)
            clue = self.conv(f"{name}.estimate.clue", cosine * moving.shape[1])
        hidden = (
            self.conv(f"{name}.estimate.moving", near) + self.conv(f"{name}.estimate.target", target) + clue
        )
        motion = self.conv(f"{name}.estimate.last", F.leaky_relu(hidden, 0.1))
        if below is not None:
            motion = motion + self.conv(f"{name}.estimate.below", below)
        weight, bias = (self.weights[f"{name}.convolve.{part}"] for part in ("weight", "bias"))
        padding = self.kernel // 2
        if self.flow:
            return F.conv2d(warp(moving, motion), weight, bias, padding=padding), motion
        count = motion.shape[1] * 2 // 3 if self.modulated else motion.shape[1]
        mask = 2 * motion[:, count:].sigmoid() if self.modulated else None
        return deform_conv2d(moving, motion[:, :count], weight, bias, padding=padding, mask=mask), motion[
            :, :count
        ]

    def neighbor(self, moving: Tensor, target: Tensor) -> Tensor:
        if self.prior:
            output, motion = self.align("levels.0.aligner", moving, target, None)
            for level in (1, 2):
                moving, target = up(moving), up(target)
                aligned, motion = self.align(f"levels.{level}.aligner", moving, target, 2 * up(motion))
                output = self.conv(f"levels.{level}.merge", torch.cat([aligned, up(output)], 1))
        else:
            moving, target = up(up(moving)), up(up(target))
            output = self.conv("levels.0.merge", self.align("levels.0.aligner", moving, target, None)[0])
        return self.align("refine", output, target, None)[0]

    def __call__(self, window: Tensor) -> Tensor:
        frames = list(window.unbind(1))
        current = frames.pop(len(frames) // 2)
        parts = [self.neighbor(frame, current) for frame in frames]
        return self.conv("fuse", torch.cat([*parts, up(up(current))], 1))


@pytest.mark.parametrize("switches", SWITCHES)
def test_equals_the_equations_written_out(switches):
    module = randomize(FlexAlign(4, out_channels=3, neighbors=2, offset_groups=2, **switches))
    window = torch.randn(2, 5, 4, 3, 7, dtype=torch.float64)
    out = module.align(window)
    assert out.shape == (2, 3, 12, 28)
    torch.testing.assert_close(out, WrittenOut(module, switches)(window), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("switches", SWITCHES)
def test_starts_with_no_motion(switches):
    module = FlexAlign(4, neighbors=1, offset_groups=2, **switches).double()
    motions: list[Tensor] = []
    for name, part in module.named_modules():
        if name.endswith("estimate"):
            part.register_forward_hook(lambda *results: motions.append(results[-1]))
    module.align(torch.randn(1, 3, 4, 5, 3, dtype=torch.float64))
    assert len(motions) == (2 if switches.get("prior") is False else 4)
    assert not any(motion.any() for motion in motions)


def pass_through(module: FlexAlign) -> None:
    """Make every convolution but the estimators' hand on its inputs, or their mean, and drop the current frame."""
    c = module.channels
    for name, parameter in module.named_parameters():
        if "estimate" in name:
            continue
        nn.init.zeros_(parameter).requires_grad_(False)
        if parameter.ndim == 4:
            parts = parameter.shape[1] // c - (name == "fuse.weight")
            for part in range(parts):
                parameter[range(c), range(part * c, part * c + c), 1, 1] = 1 / parts


def test_offsets_are_doubled_on_the_way_up():
    """One pixel to the right on level 1 is four on level 3: without the doubling both levels would disagree."""
    module = FlexAlign(2, neighbors=1, offset_groups=1).double()
    pass_through(module)
    with torch.no_grad():
        module.levels[0].aligner.estimate.last.bias[1::2] = 1
    x = torch.randn(1, 2, 5, 11, dtype=torch.float64)
    out = module.align(torch.stack([x, torch.zeros_like(x), x], 1))
    moved = F.pad(x, (0, 1))[..., 1:]
    # What each level makes of its own upsampled map: level 3 weighs half, levels 1 and 2 a quarter each.
    one = up(up(moved))
    two = up(F.pad(up(x), (0, 2))[..., 2:])
    three = F.pad(up(up(x)), (0, 4))[..., 4:]
    torch.testing.assert_close(out, one / 4 + two / 4 + three / 2)
    torch.testing.assert_close(out[..., 4:-8], up(up(x))[..., 8:-4])


@pytest.mark.parametrize("neighbors", [0, 1, 2])
def test_stream_equals_clip_with_a_clamped_window(neighbors: int):
    module = randomize(FlexAlign(4, out_channels=3, neighbors=neighbors, offset_groups=2))
    clip = torch.randn(2, 5, 4, 3, 7, dtype=torch.float64)
    whole = module(clip)
    assert whole.shape == (2, 5, 3, 12, 28)
    for t in range(5):
        window = [clip[:, min(max(t + i, 0), 4)] for i in range(-neighbors, neighbors + 1)]
        torch.testing.assert_close(whole[:, t], module.align(torch.stack(window, 1)))


def test_a_frame_is_reached_by_its_neighbors_only():
    module = randomize(FlexAlign(4, neighbors=1, offset_groups=2))
    clip = torch.randn(2, 5, 4, 2, 3, dtype=torch.float64)
    changed = clip.clone()
    changed[0, 4] += 1
    moved = (module(changed) - module(clip)).abs().amax(dim=(2, 3, 4)) > 1e-9
    assert moved.tolist() == [[False, False, False, True, True], [False] * 5]


def test_without_neighbors_only_projects_up():
    module = FlexAlign(4, out_channels=3, neighbors=0)
    x = torch.randn(2, 1, 4, 3, 7)
    expected = F.conv2d(up(up(x[:, 0])), module.fuse.weight, module.fuse.bias, padding=1)
    torch.testing.assert_close(module(x)[:, 0], expected)
    assert {name.split(".")[0] for name, _ in module.named_parameters()} == {"fuse"}


@pytest.mark.parametrize("switches", [*SWITCHES, {"neighbors": 0}])
def test_every_parameter_and_frame_takes_part(switches):
    """Distributed training stops at a parameter that no output depends on."""
    options = {"neighbors": 1, **switches}
    module = randomize(FlexAlign(4, offset_groups=2, **options))
    clip = torch.randn(1, 3, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    module(clip).square().mean().backward()
    for parameter in [clip, *module.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("switches", [{"modulated": True}, {"alignment": "flow"}])
def test_gradcheck(switches):
    module = randomize(FlexAlign(1, neighbors=1, offset_groups=1, **switches))
    with (
        torch.no_grad()
    ):  # offsets near 0.3, 0.6 and 1.2 pixels, away from whole ones, where the derivative jumps
        for name, parameter in module.named_parameters():
            if name.endswith("last.weight"):
                parameter.mul_(0.01)
            if name.endswith("last.bias"):
                parameter.fill_(0.3 if name.startswith(("levels.0", "refine")) else 0)
            if name.endswith("below.weight"):
                nn.init.dirac_(parameter)
    window = torch.randn(1, 3, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module.align, window)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"modulated": True, "alignment": "flow"}, "modulated: expected False with alignment 'flow'"),
        ({"neighbors": -1}, "neighbors: expected 0 or more frames on either side, got -1"),
        ({"alignment": "dcn"}, "alignment: expected one of deform, flow, got 'dcn'"),
        ({"offset_groups": 3}, "offset_groups: expected a divisor of in_channels = 8, got 3"),
        ({"kernel_size": 2}, "kernel_size: expected an odd number, got 2"),
        ({"kernel_size": 2, "alignment": "flow"}, "kernel_size: expected an odd number, got 2"),
    ],
)
def test_construction_errors(options, text: str):
    with pytest.raises(ValueError, match=text):
        FlexAlign(8, **options)


def test_shape_errors():
    module = FlexAlign(8, neighbors=2)
    with pytest.raises(
        ValueError, match=r"window: expected 5 frames for neighbors=2, got 3; repeat the first"
    ):
        module.align(torch.zeros(1, 3, 8, 2, 3))
    with pytest.raises(ValueError, match=r"window: expected b t c h w with c = 8, got \(1, 5, 7, 2, 3\)"):
        module.align(torch.zeros(1, 5, 7, 2, 3))
    with pytest.raises(ValueError, match=r"clip: expected b t c h w with c = 8, got \(5, 8, 2, 3\)"):
        module(torch.zeros(5, 8, 2, 3))


@pytest.mark.parametrize("switches", [{}, {"prior": False}, {"alignment": "flow"}])
def test_brings_a_moving_camera_into_place_in_a_few_steps(switches):
    """All but the motion estimators is fixed and hands on what it gets: only right offsets lower the loss."""
    noise = torch.randn(2, 8, 15, 17)
    smooth = F.avg_pool2d(noise, 5, 1) * 5
    # The view moves 2 rows and -1 column a frame; 7 x 11 features each.
    window = torch.stack([smooth[..., y : y + 7, x : x + 11] for y, x in ((0, 2), (2, 1), (4, 0))], 1)
    module = FlexAlign(8, neighbors=1, offset_groups=1, **switches)
    pass_through(module)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 1e-2)
    inside = (..., slice(8, -8), slice(4, -4))  # both neighbours have seen this part
    truth = up(up(window[:, 1]))[inside]
    losses = []
    for _ in range(20):
        loss = (module.align(window)[inside] - truth).square().mean() / truth.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.4
    assert losses[-1] < 0.2 * losses[0]
