"""Systems that an evaluation scores: a baseline, the network, or another system's frames from disk.

All three answer the same call: lightness frame by frame and the colour of the reference frames in, 8-bit sRGB
frames out. None of them is handed the true colour of any other frame.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import ca_model
import torch
from ca_data import AB_SCALE, LIGHTNESS_SCALE, FrameFolder, lab_to_rgb, list_clips, normalize_lab, to_uint8
from jaxtyping import Float, UInt8
from torch import Tensor

from ca_trainer.errors import TrainerError
from ca_trainer.evaluation.baselines import BASELINES

__all__ = ["BaselineColorizer", "Colorizer", "FolderColorizer", "ModelColorizer"]


class Colorizer(Protocol):
    """One system under evaluation."""

    @property
    def name(self) -> str:
        """Name of its row in a table."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides its output, for ``results.json``: method, weights and their hash, and the like."""

    def colorize(
        self,
        clip: str,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        references: Mapping[int, Float[Tensor, "3 h w"]],
    ) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """Colour one clip.

        Args:
            clip: its name.
            lightness: L of every frame, in [0, 100]; read as it is needed.
            references: true Lab of the reference frames by frame number.

        Yields:
            sRGB of every frame, in order.
        """


class BaselineColorizer:
    """Grey, mean, static or flow, joined with the true L.

    Args:
        method: a name of ``BASELINES``.
        name: name of its row; the method's by default.

    Raises:
        TrainerError: for another name.

    Example:
        >>> frames = BaselineColorizer("grey").colorize("clip", [torch.full((1, 2, 3), 100.0)], {})
        >>> next(frames).unique().tolist()
        [255]
    """

    def __init__(self, method: str, *, name: str = "") -> None:
        if method not in BASELINES:
            raise TrainerError(f"method: expected model, {', '.join(BASELINES)}, got {method!r}")
        self.name = name or method
        self._predict = BASELINES[method]
        self.identity: dict[str, Any] = {"method": method, "weights": None}

    def colorize(
        self,
        clip: str,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        references: Mapping[int, Float[Tensor, "3 h w"]],
    ) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """See ``Colorizer.colorize``."""
        del clip
        # The baseline looks at a frame before it gives its ab; the same frame's L is then joined to it.
        seen: deque[Tensor] = deque()
        colors = {frame: lab[1:] for frame, lab in references.items()}
        for ab in self._predict(_noting(lightness, seen), colors):
            yield to_uint8(lab_to_rgb(torch.cat([seen.popleft(), ab])))


class ModelColorizer:
    """A trained network, streamed over the clip at the clip's own size with bounded memory.

    It is told which frames the references are, as the flow and static baselines are: their colours also enter
    the recurrence.

    Args:
        weights: shipped name, ``.safetensors`` file, or ``hub:OWNER/NAME``; empty for what is shipped.
        device: where it runs.
        name: name of its row; by default the weights' own, or that of their run folder.

    Raises:
        TrainerError: if there are no shipped weights to choose.
        ca_model.ModelError: if the weights cannot be loaded.
    """

    def __init__(self, weights: str, *, device: torch.device, name: str = "") -> None:
        shipped = ca_model.shipped_weights()
        if not weights and not shipped:
            raise TrainerError("weights: expected --weights FILE.safetensors, got none, and none are shipped")
        source = weights or shipped[0]
        self._model = ca_model.load_model(source).to(device).eval()
        file = Path(source)
        self.name = name or (file.resolve().parent.name if file.name == "weights.safetensors" else file.stem)
        from_hub = source.startswith("hub:")
        digest = ca_model.tensors_hash(self._model) if from_hub else ca_model.weights_hash(source)
        self.identity: dict[str, Any] = {"method": "model", "weights": {"name": source, "sha256": digest}}

    def colorize(
        self,
        clip: str,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        references: Mapping[int, Float[Tensor, "3 h w"]],
    ) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """See ``Colorizer.colorize``."""
        del clip
        stills = {frame: normalize_lab(lab) for frame, lab in sorted(references.items())}
        # The network may look some frames ahead, so L waits here until its ab comes.
        waiting: deque[Tensor] = deque()
        frames = (frame / LIGHTNESS_SCALE - 1 for frame in _noting(lightness, waiting))
        given = {frame: still[1:] for frame, still in stills.items()}
        for colors in ca_model.colorize_clip(self._model, frames, list(stills.values()), given=given):
            yield to_uint8(lab_to_rgb(torch.cat([waiting.popleft(), colors.ab * AB_SCALE])))


class FolderColorizer:
    """Frames that another system wrote: one folder of jpg or png files for each clip.

    A folder that has as many frames as the clip is taken in order; one with fewer (some systems do not write
    the reference) must carry the clip's own file names.

    Args:
        root: folder of folders, or of frames when there is one clip.
        clips: the true clips by name.
        name: name of its row; the folder's own by default.

    Raises:
        TrainerError: if a clip or a frame is missing.
    """

    def __init__(self, root: Path, clips: Mapping[str, FrameFolder], *, name: str = "") -> None:
        found = {folder.name: folder for folder in list_clips(root)}
        if len(found) == len(clips) == 1:
            found = dict(zip(clips, found.values(), strict=True))
        lacking = [clip for clip in clips if clip not in found]
        if lacking:
            raise TrainerError(
                f"predictions: expected a folder for each of the {len(clips)} clips in {root}, found none "
                f"for {', '.join(lacking)}; choose clips with --clips or add them"
            )
        self._files = {clip: _aligned(found[clip], true) for clip, true in clips.items()}
        self._folders = {clip: found[clip] for clip in clips}
        self.name = name or root.resolve().name
        content = "".join(self._folders[clip].signature for clip in sorted(clips))
        digest = hashlib.sha256(content.encode()).hexdigest()
        self.identity: dict[str, Any] = {
            "method": "predictions",
            "weights": None,
            "predictions_sha256": digest,
        }

    def colorize(
        self,
        clip: str,
        lightness: Iterable[Float[Tensor, "1 h w"]],
        references: Mapping[int, Float[Tensor, "3 h w"]],
    ) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """See ``Colorizer.colorize``; a reference frame the system did not write stands as it was given."""
        for number, frame in enumerate(lightness):
            place = self._files[clip][number]
            if place is None:
                if number not in references:
                    raise TrainerError(
                        f"predictions: clip {clip} has no frame {number}, which is scored; write it or choose"
                        " another protocol"
                    )
                yield to_uint8(lab_to_rgb(references[number]))
                continue
            picture = self._folders[clip].read([place])[0]
            if picture.shape[-2:] != frame.shape[-2:]:
                got, expected = (f"{shape[-1]}x{shape[-2]}" for shape in (picture.shape, frame.shape))
                raise TrainerError(
                    f"predictions: frame {number} of {clip}: expected {expected} pixels, got {got}; write the"
                    " frames at the truth's size"
                )
            yield picture


def _noting(frames: Iterable[Tensor], seen: deque[Tensor]) -> Iterator[Tensor]:
    for frame in frames:
        seen.append(frame)
        yield frame


def _aligned(given: FrameFolder, true: FrameFolder) -> list[int | None]:
    """For each true frame the number of the given file, by order when counts agree, else by name."""
    if len(given) == len(true):
        return list(range(len(true)))
    places = {file.stem: place for place, file in enumerate(given.files)}
    aligned = [places.get(file.stem) for file in true.files]
    if len(given) > len(true) or all(place is None for place in aligned):
        raise TrainerError(
            f"predictions: {given.path} has {len(given)} frames, the truth {len(true)}; write one for"
            " each frame, or name them as the true frames are named"
        )
    return aligned
