"""How far colours are off for each coverage: what the scale of the coverage page stands on (docs/films.md).

    python tests/coverage_scale.py CLIPS

CLIPS is a folder of clips in DAVIS layout. Each clip's frames 1 to 3, 11, 12 and 23 are coloured by `base` from the
clip's first frame, which covers them, and from another clip's, which does not. Over cells of 9 x 16 a frame: the mean
distance of ab from the truth in units of CIE-Lab, by the coverage of the cell.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from ca_data import read_image, rgb_to_network
from ca_film.output.coverage import GRID, coarse_grid
from ca_model import colorize_clip, load_model

FRAMES = (0, 1, 2, 3, 11, 12, 23)
STEP = 0.05


def cells(clip: Path, other: Path) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and error of every cell of a clip's frames, after both stills."""
    files = sorted(clip.glob("*.jpg"))
    lightness, ab = rgb_to_network(torch.stack([read_image(files[index]) for index in FRAMES]))
    elsewhere = rgb_to_network(read_image(sorted(other.glob("*.jpg"))[0])[None])
    covered, error = [], []
    for still in (torch.cat((lightness[0], ab[0])), torch.cat(elsewhere, dim=1)[0]):
        for frame, true in zip(colorize_clip(MODEL, lightness[1:], [still]), ab[1:], strict=True):
            off = 110.0 * (frame.ab - true).norm(dim=0)
            covered.append(coarse_grid(frame.confidence) / 255.0)
            error.append(F.adaptive_avg_pool2d(off[None, None], GRID)[0, 0].numpy())
    return np.array(covered), np.array(error)


def main() -> None:
    clips = sorted(path for path in Path(sys.argv[1]).iterdir() if len(list(path.glob("*.jpg"))) > FRAMES[-1])
    pairs = [cells(clip, clips[(number + 5) % len(clips)]) for number, clip in enumerate(clips)]
    covered, error = (np.concatenate([pair[part].ravel() for pair in pairs]) for part in (0, 1))
    print(f"{len(clips)} clips\n| coverage | cells | off by, mean | median |\n|---|---|---|---|")
    for low in np.arange(0.3, 1.0, STEP):
        here = error[(covered >= low) & (covered < low + STEP)]
        if len(here):
            print(
                f"| {low:.0%} to {low + STEP:.0%} | {len(here)} | {here.mean():.1f} | {np.median(here):.1f} |"
            )


if __name__ == "__main__":
    MODEL = load_model("base").eval()
    with torch.no_grad():
        main()
