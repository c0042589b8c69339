"""How good few strokes are: strokes simulated from the truth on the first frame, beside a full true still.

    python tests/strokes.py CLIPS [NAME ...] [--film] [--frames 48]

CLIPS is a folder of clips in DAVIS layout, NAME which of them (all when none is named). For 5, 20 and 50 strokes the
script clusters the true frame 0 by (L, a, b, x, y), puts a dot of 7 pixels on the most central pixel of every cluster,
in the mean true colour under it, and spreads it by `ca_data.spread_color`. Printed is PSNR of frame 0; with `--film`
also of frames 1 on, coloured by the shipped weights from that frame as their only still, and from the true one.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from ca_data import list_clips, network_to_rgb, resize, rgb_to_network, spread_color, to_uint8
from ca_metrics import psnr
from ca_model import load_model
from scipy.cluster.vq import kmeans2
from torch import Tensor

COUNTS = (5, 20, 50)
RADIUS = 3
SIZE = (224, 384)
# In one unit: 20 of ab, 25 of L and half a picture count alike.
SCALES = (25.0, 20.0, 20.0, 0.5, 0.5)


def simulate(lightness: Tensor, ab: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Dots in the true colours where a restorer might put them: in the middle of each of so many areas."""
    _, height, width = lightness.shape
    rows, columns = np.mgrid[0:height, 0:width]
    values = (lightness[0].numpy() * 50.0, *(ab.numpy() * 110.0), rows / height, columns / width)
    features = np.stack([value.ravel() / scale for value, scale in zip(values, SCALES, strict=True)], axis=1)
    centres, labels = kmeans2(features, count, minit="++", seed=0, iter=20)
    strokes, painted = torch.zeros(2, height, width), torch.zeros(height, width, dtype=torch.bool)
    for number in range(count):
        members = np.flatnonzero(labels == number)
        if len(members):
            nearest = members[np.square(features[members] - centres[number]).sum(axis=1).argmin()]
            row, column = divmod(int(nearest), width)
            dot = torch.from_numpy((rows - row) ** 2 + (columns - column) ** 2 <= RADIUS**2)
            strokes[:, dot] = ab[:, dot].mean(dim=1, keepdim=True)
            painted |= dot
    return strokes, painted


def film_psnr(model, lightness: Tensor, still_ab: Tensor, true: Tensor) -> float:
    """PSNR of frames 1 on, coloured from one still that is frame 0."""
    with torch.no_grad():
        tokens = model.encode_references([torch.cat((lightness[0], still_ab))[None]])
        frames = (frame[None] for frame in lightness)
        out = [one.ab[0, 0] for one in model.stream(frames, tokens, given={0: still_ab[None]})]
    made = to_uint8(network_to_rgb(lightness[1:], torch.stack(out[1:])))
    return float(psnr(made, true[1:]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--film", action="store_true")
    parser.add_argument("--frames", type=int, default=48)
    given = parser.parse_args()
    model = load_model("base").eval() if given.film else None
    rows = []
    for clip in list_clips(given.clips):
        if given.names and clip.name not in given.names:
            continue
        count = min(given.frames, len(clip)) if given.film else 1
        true = resize(clip.read(range(count)), SIZE)
        lightness, ab = rgb_to_network(true)
        row = []
        for strokes in COUNTS:
            spread = spread_color(lightness[0], *simulate(lightness[0], ab[0], strokes))
            frame = to_uint8(network_to_rgb(lightness[:1], spread[None]))
            row.append(float(psnr(frame, true[:1])))
            if model is not None:
                row.append(film_psnr(model, lightness, spread, true))
        if model is not None:
            row.append(film_psnr(model, lightness, ab[0], true))
        rows.append(row)
        print(f"{clip.name:20}", *(f"{value:6.2f}" for value in row), flush=True)
    print(f"{'mean':20}", *(f"{value:6.2f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
