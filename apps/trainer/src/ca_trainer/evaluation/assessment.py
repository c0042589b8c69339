"""Assessment of one system, clip by clip, so that an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ca_metrics
import torch
from ca_data import FrameFolder, resize, rgb_to_lab, write_frames
from jaxtyping import UInt8
from torch import Tensor, nn

from ca_trainer.errors import TrainerError
from ca_trainer.evaluation.colorizers import Colorizer
from ca_trainer.evaluation.protocols import EvaluationProtocol
from ca_trainer.evaluation.results import FORMAT
from ca_trainer.evaluation.scoring import ProtocolScorer
from ca_trainer.evaluation.strips import StripWriter
from ca_trainer.files import write_json

__all__ = ["Assessment", "TrueClip"]


@dataclass(frozen=True)
class TrueClip:
    """A clip in true colour, at the size it is evaluated at.

    Args:
        folder: its frames.
        size: height and width to resize to, or None for its own.
    """

    folder: FrameFolder
    size: tuple[int, int] | None = None

    def frame(self, number: int) -> UInt8[Tensor, "3 h w"]:
        """True sRGB of one frame."""
        frame = self.folder.read([number])[0]
        return frame if self.size is None else resize(frame, self.size)

    def lightness(self) -> Iterator[Tensor]:
        """L of every frame, ``1 h w`` in [0, 100], decoded as it is asked for."""
        for number in range(len(self.folder)):
            yield rgb_to_lab(self.frame(number))[:1]


@dataclass(frozen=True)
class Assessment:
    """Assessment of one system under one protocol, into one folder of results.

    Args:
        colorizer: the system.
        protocol: its references and the frames it is scored on.
        out: folder of the results; each clip's lie there as soon as it is done.
        size: height and width to evaluate at, or None for each clip's own.
        lpips: what ``ca_metrics.load_lpips`` returned, or None.
        lpips_note: why LPIPS is missing, where it is.
        save_frames: whether to write every output frame as PNG under ``out/frames``.
    """

    colorizer: Colorizer
    protocol: EvaluationProtocol
    out: Path
    size: tuple[int, int] | None = None
    lpips: nn.Module | None = None
    lpips_note: str = ""
    save_frames: bool = False

    def signature(self, clip: FrameFolder) -> str:
        """Hash of all that decides a clip's figures: system, protocol, data, and whether LPIPS is at hand."""
        content = {
            "format": FORMAT,
            "system": self.colorizer.identity,
            "protocol": self.protocol.name,
            "size": self.size,
            "clip": clip.signature,
            "lpips": self.lpips is not None,
            "save_frames": self.save_frames,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def finished(self, clip: FrameFolder) -> Mapping[str, Any] | None:
        """Record of a clip that an earlier run with the same signature scored, or None."""
        file = self._file(clip)
        if not file.is_file():
            return None
        record: Mapping[str, Any] = json.loads(file.read_text())
        return record if record.get("signature") == self.signature(clip) else None

    def stale(self, clips: Sequence[FrameFolder]) -> int:
        """Number of clips that were scored with other options, weights or data, and will be scored again."""
        return sum(self._file(clip).is_file() and self.finished(clip) is None for clip in clips)

    def run(self, clip: FrameFolder, on_frame: Callable[[], None] = lambda: None) -> Mapping[str, Any]:
        """Colour and score one clip and keep the result.

        Args:
            clip: the clip.
            on_frame: called after each frame.

        Returns:
            ``signature``, ``scores`` (as ``ca_metrics.ClipScores``), ``frame`` numbers, and ``moments``.

        Raises:
            TrainerError: if the clip is too short for the protocol, or the system gives too few frames.
        """
        true = TrueClip(clip, self.size)
        try:
            scored = self.protocol.scored_frames(len(clip))
        except ValueError as error:
            raise TrainerError(f"clip {clip.name}: {error}") from error
        stills = {number: true.frame(number) for number in self.protocol.reference_frames(len(clip))}
        scorer = ProtocolScorer(scored, self.lpips)
        strip = StripWriter(self._folder("strips", clip), scored)
        count = 0
        for number, output in enumerate(self._frames(true, stills)):
            truth = true.frame(number)
            scorer.add(number, output, truth)
            if number not in stills:
                latest = max(still for still in stills if still < number)
                same = torch.equal(output, truth)
                quality = None if same else ca_metrics.psnr(output[None], truth[None]).item()
                strip.add(number, output, truth, (latest, stills[latest]), quality)
            count += 1
            on_frame()
        if count != len(clip):
            raise TrainerError(
                f"clip {clip.name}: expected {len(clip)} frames, got {count} from {self.colorizer.name}"
            )
        scores = scorer.scores().as_dict()
        if self.lpips is None:
            scores["notes"]["lpips"] = self.lpips_note
        record = {
            "signature": self.signature(clip),
            "scores": scores,
            "frame": scored,
            "size": list(stills[0].shape[-2:]),
            "moments": strip.finish(),
        }
        write_json(self._file(clip), record)
        return record

    def _frames(self, true: TrueClip, stills: Mapping[int, Tensor]) -> Iterator[UInt8[Tensor, "3 h w"]]:
        references = {number: rgb_to_lab(still) for number, still in stills.items()}
        frames = self.colorizer.colorize(true.folder.name, true.lightness(), references)
        if not self.save_frames:
            yield from frames
            return
        folder = self._folder("frames", true.folder)
        shutil.rmtree(folder, ignore_errors=True)
        for number, frame in enumerate(frames):
            write_frames([stills.get(number, frame)], folder, start=number)
            yield frame

    def _file(self, clip: FrameFolder) -> Path:
        return self.out / "clips" / f"{clip.name}.json"

    def _folder(self, kind: str, clip: FrameFolder) -> Path:
        return self.out / kind / clip.name
