"""`python -m ca_film FILM --refs STILL... --out OUT`: colour a film where only this package is installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ca_film.colorize import colorize
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions, Look, as_options
from ca_film.progress import Progress


class _Told(Progress):
    """Stages and notes as lines on standard error."""

    def stage(self, name: str, total: int | None) -> None:
        print(name if total is None else f"{name}, {total} frames", file=sys.stderr)

    def note(self, line: str) -> None:
        print(f"note: {as_options(line)}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; those of the process when None.

    Returns:
        The exit code: 0 done, 2 bad input, 3 done but parts of the film did not decode, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        height, width = reversed([int(side) for side in options.size.split("x")])
        chosen = ColorizeOptions(
            references=options.refs,
            weights=options.weights,
            size=(height, width),
            device=options.device,
            look=Look(saturation=options.saturation),
            overwrite=options.overwrite,
            codec=options.codec,
        )
        result = colorize(options.film, options.out, chosen, _Told())
    except ValueError as error:
        wrong = (
            str(error) if isinstance(error, FilmError) else f"--size must be like 384x224, got {options.size}"
        )
        print(f"error: {as_options(wrong)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130
    for line in [*result.notes, *result.problems]:
        print(f"note: {as_options(line)}", file=sys.stderr)
    print(result.out)
    return 3 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ca_film",
        description="Colourise a film from a few colour stills.",
        epilog="The command line of the whole project, apps/infer, has every option.",
    )
    parser.add_argument("film", type=Path, help="a video file or a folder of frames")
    parser.add_argument(
        "--refs", type=Path, nargs="+", required=True, help="colour stills, or folders of them"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="a video file, or a folder for PNG")
    parser.add_argument("--weights", help="a shipped name, a safetensors file or hub:OWNER/NAME")
    parser.add_argument("--size", default="384x224", help="pixels for the network (default: 384x224)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("--saturation", type=float, default=1.0, help="factor on the colours (default: 1)")
    parser.add_argument("--codec", help="h264, hevc, av1, vp9, prores, dnxhr or ffv1")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
