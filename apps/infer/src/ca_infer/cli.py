"""The command line.

Exit codes: 0 done, 2 bad input (no output), 3 done but parts of the film did not decode, 4 films of a batch failed,
130 interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ca_infer.arguments import (
    name_outputs,
    parse_cuts,
    parse_place,
    parse_range,
    parse_rate,
    parse_size,
    spread_values,
)
from ca_infer.batch import batch
from ca_infer.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_INTERRUPTED, EXIT_PARTLY_DECODED, InferError

if TYPE_CHECKING:
    from ca_film import ColorizeOptions, Result

__all__ = ["app", "main"]

_WIDEST = 120
_DEMO_FOLDER = Path("runs/demo-colorize")

app = typer.Typer(
    help="Colourise black-and-white films from a few colour stills; without a command, a demonstration.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process when None.

    Returns:
        The exit code.
    """
    _quiet_libraries()
    typed = list(sys.argv[1:] if arguments is None else arguments)
    # The bench's --refs is a number, not a list of stills.
    given = typed if typed[:1] == ["bench"] else spread_values(typed, "--refs")
    command = typer.main.get_command(app)
    try:
        _listen_once()
        code = command.main(given, prog_name="infer", standalone_mode=False)
        return code if isinstance(code, int) else EXIT_DONE
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; the same command continues where it stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except _USAGE_ERROR as error:
        return _fail(f"{error.format_message()} (see --help)")
    except InferError as error:
        return _fail(str(error))
    except _library_errors() as error:
        return _fail(_said(str(error)))


# Typer's usage errors share a base that newer versions do not export by name.
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]


def _listen_once() -> None:
    """Let the first Ctrl-C stop the work, and no other disturb the tidying up; launchers forward a second one."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def _library_errors() -> tuple[type[ValueError], ...]:
    """Errors that the user can put right; asked for when something failed, so that `--help` imports no torch."""
    from ca_data import VideoError
    from ca_film import FilmError

    return FilmError, VideoError


def _said(line: str) -> str:
    """A line of the library, its arguments as options."""
    from ca_film import as_options

    return as_options(line)


def _fail(line: str) -> int:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _quiet_libraries() -> None:
    """Encoders and decoders chatter on standard error; what matters reaches the user as notes."""
    os.environ.setdefault("SVT_LOG", "1")
    logging.getLogger("libav").setLevel(logging.CRITICAL)


@app.callback(invoke_without_command=True)
def _start(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _demo()


def _demo() -> None:
    from ca_film import default_weights

    from ca_infer.demo import run_demo
    from ca_infer.progress import ProgressBar

    # Asked for first, so that no folder is left behind where there are none.
    weights = default_weights()
    with ProgressBar() as bar:
        result, sheet, gain = run_demo(_DEMO_FOLDER, weights, bar)
    print(f"colourised the embedded grey clip ({result.frames} frames, weights {weights})")
    print(f"film: {result.out}")
    print(f"grey, colourised and true side by side: {sheet}")
    print(f"PSNR against the true clip: {gain:+.2f} dB over grey")


@app.command()
def colorize(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Video files, folders of frames, or projects of the studio (FILM.coloralign).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="A video file, or a name without ending for PNG; a folder for several films."
        ),
    ],
    refs: Annotated[
        list[Path] | None,
        typer.Option(
            "--refs",
            help="Colour stills, folders or a list.toml, one or several; name_000040.png is frame 40.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="A shipped name, a safetensors file or a hub id; the shipped default.")
    ] = None,
    size: Annotated[str, typer.Option(help="Pixels for the network; the film's aspect is kept.")] = "384x224",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw unfinished work away.")] = False,
    codec: Annotated[
        str | None,
        typer.Option(help="h264, hevc, av1, vp9, prores, dnxhr, ffv1; default by ending and bit depth."),
    ] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="Constant quality of the codec.")] = None,
    pix_fmt: Annotated[
        str | None, typer.Option(help="Storage, such as yuv420p10le; default nearest to the film's.")
    ] = None,
    png_depth: Annotated[int, typer.Option(help="Bits of PNG and TIFF files: 8 or 16.")] = 8,
    frames: Annotated[str, typer.Option(help="Files of an output folder: png or tiff.")] = "png",
    fps: Annotated[str, typer.Option(help="Frame rate of a folder that becomes a video.")] = "24",
    saturation: Annotated[float, typer.Option(min=0.0, max=4.0, help="Factor on the colours.")] = 1.0,
    strength: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of colour against grey.")] = 1.0,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only a few frames per shot as OUT.preview.png, time and size.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Leave the left half of the frame grey.")
    ] = False,
    keep_colors: Annotated[
        bool, typer.Option("--keep-colors", help="Keep colours the film has, such as a logo's.")
    ] = False,
    report: Annotated[
        bool | None, typer.Option(help="Write OUT.coverage.html; default for videos, not for folders.")
    ] = None,
    refs_per_shot: Annotated[
        int, typer.Option(min=1, help="Most stills the network sees at once; of more, each shot's best.")
    ] = 8,
    still_pixels: Annotated[
        int, typer.Option(help="Most pixels of a still; larger ones are refused undecoded.")
    ] = 64_000_000,
    cuts: Annotated[
        str | None,
        typer.Option(help="Frames that begin a shot, as 120,348, or none; default found."),
    ] = None,
    segment: Annotated[
        int, typer.Option(min=1, help="Frames between two points from which interrupted work goes on.")
    ] = 240,
    cut_at_stills: Annotated[
        bool,
        typer.Option(
            "--cut-at-stills", help="Begin anew at stills that are frames of the film, a segment apart."
        ),
    ] = False,
    again: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="Colour only frames FIRST:LAST of an output again (LAST not among them); the rest stays.",
        ),
    ] = None,
    start: Annotated[
        str, typer.Option(help="Begin of a test piece: a frame number, or a time such as 1:02.5 or 62.5s.")
    ] = "0",
    end: Annotated[str | None, typer.Option(help="What a test piece ends before; likewise.")] = None,
    copy_audio: Annotated[bool, typer.Option(help="Copy sound.")] = True,
    copy_subtitles: Annotated[bool, typer.Option(help="Copy subtitles.")] = True,
    copy_data: Annotated[bool, typer.Option(help="Copy data, attachments and further video.")] = True,
    copy_metadata: Annotated[bool, typer.Option(help="Copy tags and chapters.")] = True,
) -> int:
    """Colourise films, folders of frames, or projects of the studio."""
    from ca_film import ColorizeOptions, Look, StreamChoice
    from ca_film.output.encoding import VIDEO_SUFFIXES

    options = ColorizeOptions(
        references=tuple(refs or ()),
        references_per_shot=refs_per_shot,
        keep_colors=keep_colors,
        still_pixels=still_pixels,
        weights=weights,
        size=parse_size(size),
        device=device,
        look=Look(saturation, strength, compare),
        overwrite=overwrite,
        restart=restart,
        codec=codec,
        crf=crf,
        pixel_format=pix_fmt,
        png_depth=png_depth,
        frames=frames,
        streams=StreamChoice(copy_audio, copy_subtitles, copy_data, copy_metadata),
        rate=parse_rate(fps),
        cuts=parse_cuts(cuts),
        segment=segment,
        cut_at_stills=cut_at_stills,
        report=bool(report),
        again=parse_range(again),
        start=parse_place(start, "--start"),
        end=None if end is None else parse_place(end, "--end"),
    )
    code = EXIT_DONE
    for source, target in name_outputs(sources, out):
        wanted = replace(
            options, report=target.suffix.lower() in VIDEO_SUFFIXES if report is None else report
        )
        try:
            code = max(code, (_preview if preview else _colorize)(source, target, wanted))
        except _library_errors() as error:
            if len(sources) == 1:
                raise
            code = max(code, _fail(f"{source}: {_said(str(error))}"))
    return code


def _colorize(source: Path, out: Path, options: ColorizeOptions) -> int:
    from ca_film import colorize, colorize_project, is_project

    from ca_infer.progress import ProgressBar

    if is_project(source) and options.stills:
        raise InferError(f"--refs and the project {source} both name stills; add them to the project instead")
    with ProgressBar() as bar:
        work = colorize_project if is_project(source) else colorize
        result = work(source, out, options, bar)
    return _report(result)


app.command()(batch)


@app.command()
def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="A .safetensors file; a folder for programs.")],
    weights: Annotated[str | None, typer.Option(help="As for colorize.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="safetensors (weights), torch or onnx (programs that run by themselves)."
        ),
    ] = "safetensors",
    half: Annotated[bool, typer.Option("--half", help="Store half precision: half the size.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write weights to a safetensors file of their own, or the network as programs."""
    from ca_infer.export import export as run

    print(run(weights, out, form=form, half=half, overwrite=overwrite))


@app.command()
def bench(
    weights: Annotated[
        str | None, typer.Option(help="As for colorize, or a preset (tiny, paper, base) with random weights.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width and height of the frames.")] = "384x224",
    frames: Annotated[int, typer.Option(min=1, help="Frames that are timed, after a warm-up.")] = 32,
    refs: Annotated[int, typer.Option("--refs", min=1, help="Number of references.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Time the network: median seconds per frame, and where they go."""
    from ca_film import choose_device

    from ca_infer.bench import bench as run
    from ca_infer.bench import load_network

    name, model = load_network(weights)
    report = run(model, parse_size(size), frames, refs, choose_device(device))
    if as_json:
        print(json.dumps(report.as_dict()))
        return
    print(f"{name} at {size}, {refs} references, {frames} frames on {device}")
    for name, value in report.as_dict().items():
        if name != "stages":
            print(f"{name:>20} {value:.4g}" if isinstance(value, float) else f"{name:>20} {value}")
    for name, seconds in report.stages.items():
        print(f"{name:>20} {seconds:.4f} s  {100 * seconds / report.seconds_per_frame:.0f}%")


@app.command()
def weights() -> None:
    """List the weights that are shipped."""
    import ca_model

    names = ca_model.shipped_weights()
    if not names:
        print("no weights are shipped with this version")
    for place, name in enumerate(names):
        path = ca_model.find_weights(name)
        about = {k: v for k, v in ca_model.read_metadata(name).items() if not k.startswith("coloralign.")}
        size = path.stat().st_size / 1e6
        default = " (default)" if place == 0 else ""
        print(f"{name}{default}: {size:.1f} MB, sha256 {ca_model.weights_hash(name)[:16]}")
        for key, value in sorted(about.items()):
            print(f"    {key}: {_one_line(value)}")


def _preview(source: Path, out: Path, options: ColorizeOptions) -> int:
    from ca_film import preview

    from ca_infer.progress import ProgressBar

    with ProgressBar() as bar:
        found = preview(source, out, options, bar)
    for note in found.notes:
        print(f"note: {_said(note)}", file=sys.stderr)
    size = "" if found.size is None else f", about {found.size / 1e6:.1f} MB of frames"
    print(f"{found.sheet}: {found.frames} frames in {found.shots} shots")
    print(f"the whole film: about {_duration(found.seconds)}{size}")
    return EXIT_DONE


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@app.command()
def plan(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A video file or a folder of frames.")],
    refs: Annotated[list[Path] | None, typer.Option("--refs", help="Stills there are already.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; default INPUT's name + -plan.")
    ] = None,
    stills: Annotated[int, typer.Option(min=0, help="Most frames to propose.")] = 8,
    weights: Annotated[str | None, typer.Option(help="As for colorize.")] = None,
    size: Annotated[str, typer.Option(help="As for colorize.")] = "384x224",
    device: Annotated[str, typer.Option(help="As for colorize.")] = "auto",
    cuts: Annotated[str | None, typer.Option(help="As for colorize.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is there.")
    ] = False,
) -> None:
    """Show shots and coverage, and write the frames that most deserve a reference as stills to be coloured."""
    from ca_film import ColorizeOptions
    from ca_film import plan as run

    from ca_infer.progress import ProgressBar

    options = ColorizeOptions(
        tuple(refs or ()), weights, parse_size(size), device, overwrite=overwrite, cuts=parse_cuts(cuts)
    )
    folder = out if out is not None else Path(f"{source.stem}-plan")
    with ProgressBar() as bar:
        found = run(source, folder, options, stills, bar)
    for note in found.notes:
        print(f"note: {_said(note)}", file=sys.stderr)
    for number, shot in enumerate(found.shots, start=1):
        covered = "" if shot.coverage is None else f"  coverage {shot.coverage:4.0%}"
        anchored = f"  has {', '.join(map(str, shot.anchored))}" if shot.anchored else ""
        several = sorted(frame for frame in (shot.chosen, *shot.also) if frame in found.wanted)
        mark = f"  <- colour {'this' if len(several) == 1 else 'these'}" if several else ""
        chosen = ", ".join(map(str, several or [shot.chosen]))
        frames = f"{shot.frames.start}-{shot.frames.stop - 1}"
        print(f"shot {number:3d}  frames {frames:>13}{covered}{anchored}  frame {chosen}{mark}")
    print(f"{found.folder}: {len(found.wanted)} stills to be coloured, contact-sheet.png")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[:_WIDEST] + " ..."


def _report(result: Result) -> int:
    console = Console(stderr=True, soft_wrap=True)
    for note in result.notes:
        console.print(f"note: {_said(note)}", highlight=False, markup=False)
    print(f"{result.out}: {result.frames} frames in {result.shots} shots")
    if result.report is not None:
        print(f"coverage: {result.report}")
    if not result.problems:
        return EXIT_DONE
    print(f"warning: {len(result.problems)} parts of the film did not decode:", file=sys.stderr)
    for problem in result.problems:
        print(f"  {problem}", file=sys.stderr)
    return EXIT_PARTLY_DECODED
