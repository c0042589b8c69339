"""Data loading: the samples of each step and rank, a function of seed and step, so that runs repeat and resume."""

import hashlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import ca_data
import torch
from ca_data import Clip, ClipDataset, FrameFolder, Sample, SyntheticClip
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import DataChoice, Recipe
from ca_trainer.training.schedule import clip_length_at

VALIDATION_SEED = 1_000_000  # synthetic validation clips begin here, far from those of training
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mxf")
ORDER_KEY = 2**31  # keeps the stream that orders an epoch apart from those of its samples


class Batch(TypedDict):
    """Samples of one rank's part of a step, stacked: see `ca_data.Sample`."""

    lightness: Float[Tensor, "b t 1 h w"]
    ab: Float[Tensor, "b t 2 h w"]
    references: Float[Tensor, "b m 3 h w"]
    clip: list[str]
    start: Int[Tensor, " b"]
    known: Bool[Tensor, " b"]
    known_ab: Float[Tensor, "b 2 h w"]


@dataclass(frozen=True)
class Clips:
    """The clips of a run, split once for all."""

    training: Sequence[Clip]
    validation: Sequence[Clip]
    checksum: str
    left_out: int = 0  # clips too short for a sample


@dataclass(frozen=True)
class SampleKey:
    """Key of one sample: clip, epoch, and number of frames."""

    epoch: int
    index: int
    length: int


class KeyedSamples(Dataset[Sample]):
    """A ClipDataset with `SampleKey`s as its indices instead of numbers of clips."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> Sample:
        sample = self.dataset.sample(key.index, key.epoch)
        sample["lightness"] = sample["lightness"][: key.length]
        sample["ab"] = sample["ab"][: key.length]
        return sample


class StepSampler(Sampler[list[SampleKey]]):
    """Batch sampler of one rank: the keys of its samples, step by step.

    The samples of all steps are numbered on; an epoch takes every clip once, in an order of its own. Of each
    step's global batch rank r takes every world-th sample from r on, so the global batch is the same for any
    number of ranks.

    Args:
        recipe: batch, clip length and seed.
        clips: number of clips.
        first: first step, from 0.
        last: step to stop before.
        rank: this process among `world`.

    Example:
        >>> from ca_trainer.recipe_toml import load_recipe
        >>> recipe = load_recipe("demo", ["data.batch=4"])
        >>> one = next(iter(StepSampler(recipe, 9, 5, 6)))
        >>> two = [next(iter(StepSampler(recipe, 9, 5, 6, rank=rank, world=2))) for rank in (0, 1)]
        >>> one[0::2] == two[0] and one[1::2] == two[1]
        True
    """

    def __init__(
        self, recipe: Recipe, clips: int, first: int, last: int, *, rank: int = 0, world: int = 1
    ) -> None:
        self.recipe, self.clips, self.first, self.last = recipe, clips, first, last
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        batch = self.recipe.data.batch
        orders: dict[int, list[int]] = {}
        for step in range(self.first, self.last):
            length = clip_length_at(self.recipe.data, step)
            keys = []
            for number in range(step * batch + self.rank, (step + 1) * batch, self.world):
                epoch, place = divmod(number, self.clips)
                if epoch not in orders:
                    orders = {epoch - 1: orders.get(epoch - 1, []), epoch: self._order(epoch)}
                keys.append(SampleKey(epoch, orders[epoch][place], length))
            yield keys

    def _order(self, epoch: int) -> list[int]:
        generator = ca_data.sample_generator(self.recipe.seed, epoch, ORDER_KEY)
        order: list[int] = torch.randperm(self.clips, generator=generator).tolist()
        return order


def find_clips(data: DataChoice) -> Clips:
    """Find the run's clips and split them into training and validation.

    Args:
        data: what the recipe says.

    Returns:
        Clips for training and for validation, which share none, and a checksum of both.

    Raises:
        TrainerError: no such folder, no clips, too few or too small ones.
    """
    if data.source == "synthetic":
        size = (data.size[0], data.size[1])
        training = [SyntheticClip(seed, data.frames, size) for seed in range(data.clips)]
        seeds = range(VALIDATION_SEED, VALIDATION_SEED + data.validation_clips)
        validation = [SyntheticClip(seed, max(data.frames, data.validation_frames), size) for seed in seeds]
        return Clips(training, validation, _digest([clip.signature for clip in (*training, *validation)]))
    try:
        found = ca_data.list_clips(data.root)
    except (ValueError, OSError) as error:
        raise TrainerError(f"--data: {error}{_hint(Path(data.root))}") from None
    training_clips, validation_clips = split_clips(found, data)
    long_enough = [clip for clip in training_clips if len(clip) >= data.clip_length]
    validation_clips = [clip for clip in validation_clips if len(clip) >= 2]
    if not long_enough or not validation_clips:
        raise TrainerError(
            f"--data: {data.root} has {len(long_enough)} clips of {data.clip_length} frames or more for "
            f"training and {len(validation_clips)} for validation, and both need one; add clips, shorten "
            "data.clip_length or change the split"
        )
    _check_files([*long_enough, *validation_clips])
    _check_sizes(long_enough, data)
    checksum = _digest([_content(clip) for clip in found])
    return Clips(long_enough, validation_clips, checksum, left_out=len(training_clips) - len(long_enough))


def split_clips(
    clips: Sequence[FrameFolder], data: DataChoice
) -> tuple[list[FrameFolder], list[FrameFolder]]:
    """Split clips into training and validation, by name alone: a clip stays on its side when others come or go.

    With prefixes, the clips whose names start with one are for validation; without, and where no name does (a
    recipe's prefixes are those of its own data), the share `validation_fraction` whose hashed names are smallest,
    at least one. None of them is trained on, `validation_clips` of them are used.
    """
    validation = [clip for clip in clips if clip.name.startswith(data.validation_prefixes)]
    if not validation:
        count = max(1, round(len(clips) * data.validation_fraction))
        validation = sorted(clips, key=lambda clip: hashlib.sha256(clip.name.encode()).digest())[:count]
    names = {clip.name for clip in validation}
    every = max(
        1, len(validation) // data.validation_clips
    )  # evenly over the alphabet, hence over the sources
    return [clip for clip in clips if clip.name not in names], validation[::every][: data.validation_clips]


def _hint(root: Path) -> str:
    """What to do with a folder that has something else than folders of frames in it."""
    if (root / "JPEGImages").is_dir():
        return f"; this is the official DAVIS layout: apps/trainer prepare --davis {root} --out DIR brings it to size"
    if root.is_dir() and any(path.suffix.lower() in VIDEO_SUFFIXES for path in root.iterdir()):
        return f"; these are videos: apps/trainer prepare --videos {root} --out DIR makes clips of them"
    return ""


def _check_files(clips: Sequence[FrameFolder]) -> None:
    for clip in clips:
        for file in clip.files:
            if file.stat().st_size == 0:
                raise TrainerError(f"--data: frame {file} is an empty file; restore it, or remove it")


def _check_sizes(clips: Sequence[FrameFolder], data: DataChoice) -> None:
    if data.size:
        return
    sizes = {clip.name: clip.size for clip in clips}
    if data.crop:
        small = [name for name, size in sizes.items() if size[0] < data.crop[0] or size[1] < data.crop[1]]
        if small:
            raise TrainerError(
                f"data.crop: {list(data.crop)} does not fit {len(small)} clips, such as {small[0]} "
                f"{list(sizes[small[0]])}; use a smaller crop, or data.size to resize all clips"
            )
    elif len(set(sizes.values())) > 1 and data.batch > 1:
        raise TrainerError(
            f"--data: the clips of {data.root} differ in size and cannot share a batch whole; "
            "set data.crop=[h, w] or data.size=[h, w]"
        )


def _content(clip: FrameFolder) -> str:
    """Fingerprint of a clip: name, file sizes and the first frame's bytes, without reading all of it."""
    sizes = [(file.name, file.stat().st_size) for file in clip.files]
    return f"{clip.name} {sizes} {hashlib.sha256(clip.files[0].read_bytes()).hexdigest()}"


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def make_dataset(recipe: Recipe, clips: Clips) -> ClipDataset:
    """The training set of a recipe, decoded already where workers are to share it."""
    data = recipe.data
    cache: str | Path = data.cache if data.cache in ("memory", "none") else Path(data.cache)
    try:
        dataset = ClipDataset(
            clips.training,
            data.clip_length,
            (data.crop[0], data.crop[1]) if data.crop else None,
            references=recipe.references,
            augment=recipe.augment,
            seed=recipe.seed,
            cache=cache,
            size=(data.size[0], data.size[1]) if data.size and data.source == "clips" else None,
        )
        if data.source == "synthetic" or data.workers > 1:
            dataset.preload()  # once, for the workers to share
    except (ValueError, OSError) as error:
        raise TrainerError(f"--data: {error}") from None
    return dataset


def make_loader(
    recipe: Recipe, dataset: ClipDataset, first: int, last: int, *, rank: int, world: int, pin_memory: bool
) -> DataLoader[Batch]:
    """Batches of one rank for the steps first .. last - 1."""
    parts = world * recipe.optimizer.accumulate
    if recipe.data.batch % parts:
        raise TrainerError(
            f"data.batch: expected a multiple of ranks x optimizer.accumulate = {world} x "
            f"{recipe.optimizer.accumulate}, got {recipe.data.batch}"
        )
    return DataLoader(
        cast(Dataset[Batch], KeyedSamples(dataset)),  # collation makes Batches of its Samples
        batch_sampler=StepSampler(recipe, len(dataset), first, last, rank=rank, world=world),
        num_workers=recipe.data.workers,
        worker_init_fn=_ignore_signals,
        pin_memory=pin_memory,
    )


def _ignore_signals(worker: int) -> None:  # noqa: ARG001
    """Ctrl-C and a scheduler's SIGTERM reach the workers too; they go on until the step is done and saved.

    They end all the same when the loader is done with them or the process that started them is gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
