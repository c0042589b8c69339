"""Every file of a folder coloured, and what became of its frames, streams, timestamps and levels, as a table.

    uv run python tests/film_table.py FOLDER STILLS

Prints the rows of the table in docs/films.md. FOLDER holds films, STILLS references for all of them. The network is
small and untrained: what is measured does not depend on its colours. Levels are luma as it is stored, output less
source, over up to 21 frames, in steps of 1/255 of full scale: mean and mean absolute difference.
"""

import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import ca_model
import numpy as np
import torch
from ca_film import ColorizeOptions, FilmError, Result, as_options, colorize

FRAMES, SIZE = 21, (48, 80)
MATRICES = {1: "709", 5: "601", 6: "601", 9: "2020", 10: "2020"}


@dataclass
class Looked:
    """What is seen of a film: its codecs, the times of its frames in seconds, its matrix, and luma of some frames."""

    codecs: list[str]
    times: list[Fraction]
    matrix: int
    luma: dict[int, np.ndarray]


def look(film: Path, wanted: set[int]) -> Looked:
    """Decode a film and keep luma of the wanted frames, by their numbers."""
    with av.open(str(film)) as container:
        codecs = [
            stream.codec_context.codec.canonical_name for stream in container.streams if stream.codec_context
        ]
        stream = container.streams.video[0]
        times, luma, matrix = [], {}, 0
        for number, frame in enumerate(container.decode(stream)):
            times.append(Fraction(frame.pts or 0) * stream.time_base)
            matrix = frame.colorspace
            if number in wanted and not frame.format.is_rgb:
                depth = frame.format.components[0].bits
                stored = np.frombuffer(frame.planes[0], np.uint8 if depth == 8 else np.uint16)
                width = frame.planes[0].line_size // stored.itemsize
                picture = stored.reshape(-1, width)[: frame.height, : frame.width]
                luma[number] = picture.astype(float) * 255 / (2**depth - 1)
        return Looked(codecs, times, matrix, luma)


def describe(film: Path, out: Path, result: Result) -> list[str]:
    """The cells of a film that came out."""
    wanted = {round(place) for place in np.linspace(0, result.frames - 1, min(FRAMES, result.frames))}
    before, after = look(film, wanted), look(out, wanted)
    both = sorted(before.luma.keys() & after.luma.keys())
    levels = "RGB"
    if both:
        differences = np.concatenate([(after.luma[number] - before.luma[number]).ravel() for number in both])
        levels = f"{differences.mean():+.2f}, {np.abs(differences).mean():.2f}"
    matrix = MATRICES.get(int(after.matrix), "unsaid")
    said = " (said now)" if int(before.matrix) != int(after.matrix) else ""
    notes = [as_options(note) for note in result.notes]
    start = after.times[0] - before.times[0]  # a container may begin elsewhere
    if [time - start for time in after.times] != before.times:
        worst = max(abs(b - a - start) for a, b in zip(before.times, after.times, strict=False))
        notes.insert(0, f"timestamps differ by up to {float(worst) * 1000:.1f} ms")
    return [
        f"{len(before.times)} -> {len(after.times)}",
        f"{', '.join(before.codecs)} -> {', '.join(after.codecs)}",
        f"{levels}; {matrix}{said}",
        "; ".join(notes),
    ]


def main(folder: Path, stills: Path) -> None:
    av.logging.set_level(None)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "random.safetensors"
        ca_model.save_model(ca_model.create_model("tiny"), weights, {"note": "random"})
        options = ColorizeOptions(str(stills), str(weights), SIZE, "cpu")
        for film in sorted(folder.iterdir()):
            if film.is_dir() or film.suffix == ".csv":
                continue
            ending = {".gif": ".mp4", ".webp": ".mp4"}.get(film.suffix, film.suffix)
            out = Path(place) / f"{film.stem}{ending}"
            try:
                result = colorize(film, out, options)
                cells = ["3" if result.problems else "0", *describe(film, out, result)]
            except FilmError as error:
                cells = ["2", "", "", "", as_options(str(error)).replace(f"{folder}/", "")]
            print(f"| {' | '.join([film.name, *cells])} |", flush=True)
            out.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
