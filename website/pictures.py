"""The pictures of docs/how-it-works.md, made by the code they explain.

    uv run python website/pictures.py          # all of them, into docs/images; about a minute on two cores

Everything comes from two synthetic clips (photographs that lie in scikit-image) and the weights that ship, so that the
pictures are the same wherever they are made, but for rounding.
"""

from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F
from ca_align import estimate_flow, warp
from ca_data import network_to_rgb, rgb_to_network, synthetic_clip, to_uint8
from ca_metrics import psnr
from ca_model import ColorAlignNet, ColorOutput, Given, load_model
from jaxtyping import Float, UInt8
from torch import Tensor

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import hsv_to_rgb

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SIZE = (224, 384)
CLIP, LONG = 4, 3  # the astronaut, for pictures; the cup, which things move before, for the curve
FRAMES, AT = 49, 20
# Rows and columns, in pixels of frame AT, that the attention is asked about.
PLACES = ((183, 283, "white"), (170, 165, "cyan"), (150, 40, "yellow"))


def picture(frame: UInt8[Tensor, "3 h w"]) -> Tensor:
    return frame.permute(1, 2, 0)


def grey(lightness: Float[Tensor, "1 h w"]) -> Tensor:
    return picture(to_uint8(network_to_rgb(lightness, torch.zeros(2, *lightness.shape[-2:]))))


def panels(rows: int = 2) -> tuple[plt.Figure, list[plt.Axes]]:
    """Rows of two pictures each, to be seen on a phone as well."""
    figure, axes = plt.subplots(rows, 2, figsize=(7.68, 2.5 * rows), layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, list(axes.flat)


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(IMAGES / name, dpi=100, pil_kwargs={"quality": 85} if name.endswith("jpg") else None)
    plt.close(figure)
    print(IMAGES / name)


@torch.no_grad()
def attention_weights(
    network: ColorAlignNet, lightness: Float[Tensor, "1 1 h w"], still: Float[Tensor, "1 3 h w"]
) -> Float[Tensor, "n h8 w8"]:
    """Share of each cell of the still in what every cell of the frame copies, mean over the heads.

    The still is also looked at enlarged; those cells are left out, and the shares of the others add up to 1.
    """
    seen: list[tuple[Tensor, Tensor]] = []
    attention = network.transfer
    handle = attention.register_forward_pre_hook(
        lambda _, inputs, named: seen.append((inputs[1].keys, named["query"])), with_kwargs=True
    )
    network(lightness[:, None], [still])
    handle.remove()
    keys, query = seen[0]
    h, w = query.shape[-2:]
    asked = attention.to_query(query.flatten(2).transpose(1, 2)).unflatten(-1, (attention.heads, -1))
    asked = F.normalize(asked, dim=-1).transpose(1, 2)
    keys = keys[:, :, : h * w, : asked.shape[-1]]
    logits = asked @ keys.transpose(-1, -2) * attention.temperature[:, None, None]
    return logits.softmax(dim=-1).mean(dim=1)[0].unflatten(-1, (h, w))


@torch.no_grad()
def colored(network: ColorAlignNet, clip: UInt8[Tensor, "t 3 h w"]) -> ColorOutput:
    """A clip coloured from its first frame, which the network is told is the clip's own."""
    lightness, ab = rgb_to_network(clip)
    first = torch.zeros(1, len(clip), dtype=torch.bool)
    first[0, 0] = True
    still = torch.cat([lightness[:1], ab[:1]], dim=1)
    return network(lightness[None], [still], given=Given(ab[None], first))


def draw_attention(network: ColorAlignNet, clip: UInt8[Tensor, "t 3 h w"]) -> None:
    lightness, ab = rgb_to_network(clip[[0, AT]])
    weights = attention_weights(network, lightness[1:], torch.cat([lightness[:1], ab[:1]], dim=1))
    figure, axes = panels()
    axes[0].imshow(grey(lightness[1]))
    axes[0].set_title(f"frame {AT}, grey")
    still = grey(lightness[0]).float() / 255
    for axis, (row, column, colour) in zip(axes[1:], PLACES, strict=True):
        axes[0].plot(
            column, row, "o", markersize=11, markeredgecolor=colour, markerfacecolor="none", markeredgewidth=3
        )
        cell = (row // 8) * weights.shape[-1] + column // 8
        share = F.interpolate(weights[cell][None, None], size=SIZE, mode="bilinear")[0, 0]
        shown = torch.from_numpy(
            matplotlib.colormaps["inferno"]((share / share.max()).sqrt().numpy())[..., :3]
        )
        axis.imshow(0.4 * still + 0.6 * shown)
        axis.set_title(f"what the {colour} mark looks at")
    save(figure, "how-attention.jpg")


def flow_colors(flow: Float[Tensor, "2 h w"]) -> Tensor:
    """Direction as hue, length as saturation."""
    length = flow.norm(dim=0)
    hue = torch.atan2(flow[1], flow[0]) / (2 * torch.pi) % 1.0
    saturation = (length / length.flatten().quantile(0.98)).clamp(max=1.0)
    return torch.from_numpy(hsv_to_rgb(torch.stack([hue, saturation, torch.ones_like(hue)], dim=-1).numpy()))


def draw_motion(clip: UInt8[Tensor, "t 3 h w"]) -> None:
    lightness, ab = rgb_to_network(clip[[AT - 1, AT]])
    flow = estimate_flow(lightness[1:], lightness[:1])
    carried = warp(ab[:1], flow)
    error = (warp(lightness[:1], flow) - lightness[1:]).abs()[0, 0] * 50
    figure, axes = panels()
    axes[0].imshow(grey(lightness[1]))
    step = 24
    rows, columns = torch.meshgrid(
        torch.arange(step // 2, SIZE[0], step), torch.arange(step // 2, SIZE[1], step), indexing="ij"
    )
    x, y = flow[0, :, rows, columns]
    axes[0].quiver(columns, rows, x, y, color="yellow", angles="xy", scale_units="xy", scale=0.2, width=0.006)
    axes[0].set_title(f"frame {AT}; from where, 5 times as long")
    axes[1].imshow(flow_colors(flow[0]))
    axes[1].set_title("flow: direction is hue")
    axes[2].imshow(picture(to_uint8(network_to_rgb(lightness[1:], carried))[0]))
    axes[2].set_title(f"colours of frame {AT - 1}, carried")
    axes[3].imshow(error, cmap="gray_r", vmin=0, vmax=10)
    axes[3].set_title("what it does not explain (L, 0 to 10)")
    save(figure, "how-motion.jpg")


def draw_shares(output: ColorOutput, clip: UInt8[Tensor, "t 3 h w"]) -> None:
    lightness, _ = rgb_to_network(clip)
    names = {
        "previous": "carried from the frame before",
        "keyframe": "tracked to the still's frame",
        "matched": "found in the still, place by place",
        "attended": "copied by the attention",
    }
    figure, axes = panels(rows=4)
    for number, (name, title) in enumerate(names.items()):
        copy = output.copies[name]
        left, right = axes[2 * number : 2 * number + 2]
        left.imshow(picture(to_uint8(network_to_rgb(lightness[AT], copy.ab[0, AT]))))
        left.set_title(title)
        right.imshow(copy.share[0, AT, 0], cmap="gray", vmin=0, vmax=1)
        right.set_title(f"its share: {100 * float(copy.share[0, AT].mean()):.0f}%")
    save(figure, "how-shares.jpg")
    figure, axes = panels()
    axes[0].imshow(picture(clip[0]))
    axes[0].set_title("the still, frame 0")
    axes[1].imshow(picture(to_uint8(network_to_rgb(lightness[AT], output.ab[0, AT]))))
    axes[1].set_title(f"frame {AT}, coloured")
    axes[2].imshow(picture(clip[AT]))
    axes[2].set_title("truth")
    axes[3].imshow(output.confidence[0, AT, 0], cmap="RdYlGn", vmin=0, vmax=1)
    axes[3].set_title("coverage, red 0 to green 1")
    save(figure, "how-result.jpg")


@torch.no_grad()
def draw_error(network: ColorAlignNet, clip: UInt8[Tensor, "t 3 h w"]) -> None:
    """PSNR against the truth, frame by frame, of four ways to colour a clip from its first frame."""
    lightness, ab = rgb_to_network(clip)
    chained = [ab[:1]]
    for now in range(1, len(clip)):
        flow = estimate_flow(lightness[now : now + 1], lightness[now - 1 : now])
        chained.append(warp(chained[-1], flow))
    ways = {
        "the network, from one still": colored(network, clip).ab[0],
        "colours carried along the flow, frame by frame": torch.cat(chained),
        "the still's colours, left where they are": ab[:1].expand_as(ab),
        "grey": torch.zeros_like(ab),
    }
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, colors in ways.items():
        values = psnr(to_uint8(network_to_rgb(lightness, colors)), clip)
        axis.plot(range(1, len(clip)), values[1:], label=name)
        print(f"{name}: frame 1 {values[1]:.2f} dB, frame {len(clip) - 1} {values[-1]:.2f} dB")
    axis.set(xlabel="frame; the still is frame 0", ylabel="PSNR, dB")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    save(figure, "how-error.png")


@torch.no_grad()
def main() -> None:
    network = load_model("base").eval()
    clip = synthetic_clip(CLIP, frames=FRAMES, size=SIZE)
    draw_attention(network, clip)
    draw_motion(clip)
    draw_shares(colored(network, clip[: AT + 1]), clip)
    draw_error(network, synthetic_clip(LONG, frames=FRAMES, size=SIZE))


if __name__ == "__main__":
    main()
