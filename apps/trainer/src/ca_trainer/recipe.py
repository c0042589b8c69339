"""Recipes: the configuration of a training run, as frozen and validated objects.

Files hold recipes as TOML (`recipes/*.toml`); `recipe_toml.py` reads, overrides and writes them.
Sizes are in pixels (h, w), lengths in frames, rates per step. How references are chosen and how samples are
augmented is configured by ca_data's own objects.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ca_data import AugmentConfig, ReferenceConfig

from ca_trainer.errors import TrainerError

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true")


def _require(condition: bool, name: str, expected: str, got: object) -> None:
    if not condition:
        raise TrainerError(f"recipe: {name} must be {expected}, got {got!r}")


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, name, "one of " + ", ".join(choices), value)


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The network: a preset of ca_model and the configuration fields that differ from it."""

    preset: str = "tiny"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    initial_weights: str = ""  # a .safetensors file or shipped name to start from; empty: random


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """The training and validation clips, crops and batches (`batch` counts all ranks and micro-batches)."""

    source: str = "synthetic"
    root: str = ""  # folder of clips in DAVIS layout
    clips: int = 48  # synthetic clips made for training
    frames: int = 12  # length of a synthetic clip
    size: tuple[int, ...] = ()  # h, w that clips are made at or resized to; empty: their own
    validation_clips: int = 4  # validation uses at most this many clips
    validation_frames: int = 8  # and this many frames of each; the first is the reference
    validation_fraction: float = 0.1
    validation_prefixes: tuple[str, ...] = ()  # clips whose names start so validate, if there are any
    clip_length: int = 4
    clip_length_start: int = 0  # shorter clips at first, that grow to clip_length ...
    clip_length_growth: int = 0  # ... over this many steps; 0: full length from the start
    crop: tuple[int, ...] = ()  # h, w; empty: the whole frame
    batch: int = 2
    workers: int = 1
    cache: str = "memory"  # decoded clips: "memory", "none", or a folder for memory-mapped files

    def __post_init__(self) -> None:
        _require_choice("data.source", self.source, ("synthetic", "clips"))
        for name in ("clips", "frames", "validation_clips", "clip_length", "batch"):
            _require(getattr(self, name) >= 1, f"data.{name}", "at least 1", getattr(self, name))
        for name in ("workers", "clip_length_growth"):
            _require(getattr(self, name) >= 0, f"data.{name}", "0 or more", getattr(self, name))
        _require(self.validation_frames >= 2, "data.validation_frames", "at least 2", self.validation_frames)
        fraction = self.validation_fraction
        _require(0 < fraction < 1, "data.validation_fraction", "between 0 and 1", fraction)
        for name, value in (("size", self.size), ("crop", self.crop)):
            fits = not value or (len(value) == 2 and min(value) >= 16)
            _require(fits, f"data.{name}", "[height, width] of 16 pixels or more, or []", list(value))
        start = self.clip_length_start
        _require(
            0 <= start <= self.clip_length, "data.clip_length_start", "between 0 and data.clip_length", start
        )
        _require(bool(self.cache), "data.cache", '"memory", "none" or a folder', self.cache)
        if self.source == "clips":
            _require(bool(self.root), "data.root", "a folder of clips (give --data DIR)", self.root)
        else:
            needed = self.clip_length
            _require(bool(self.size), "data.size", "[height, width] for synthetic clips", list(self.size))
            _require(
                self.frames >= needed, "data.frames", f"at least {needed}, data.clip_length", self.frames
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerChoice:
    """Adam or AdamW for the network (and for the discriminator, at its own rate), clipping and averaging."""

    kind: str = "adam"
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float = 0.0  # gradients longer than this are shortened to it; 0: never
    accumulate: int = 1  # micro-batches per step
    truncate: int = 0  # frames of a clip through which gradients run back; 0: all
    online: bool = False  # with truncate: update after every such part instead of once a clip
    ema: float = 0.0  # decay of the averaged weights; 0: no average

    def __post_init__(self) -> None:
        _require_choice("optimizer.kind", self.kind, ("adam", "adamw"))
        for name in ("learning_rate", "discriminator_learning_rate"):
            value = getattr(self, name)
            _require(value > 0 and math.isfinite(value), f"optimizer.{name}", "above 0", value)
        fits = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        _require(fits, "optimizer.betas", "two numbers in [0, 1)", list(self.betas))
        for name in ("weight_decay", "clip_norm"):
            _require(getattr(self, name) >= 0, f"optimizer.{name}", "0 or more", getattr(self, name))
        _require(self.truncate >= 0, "optimizer.truncate", "0 or more", self.truncate)
        _require(self.accumulate >= 1, "optimizer.accumulate", "at least 1", self.accumulate)
        _require(
            not self.online or self.accumulate == 1, "optimizer.accumulate", "1 with online", self.accumulate
        )
        _require(0 <= self.ema < 1, "optimizer.ema", "in [0, 1)", self.ema)


@dataclass(frozen=True, kw_only=True)
class ScheduleChoice:
    """Learning-rate schedule: linear warm-up, then constant or a cosine to `final`."""

    kind: str = "cosine"
    warmup: int = 0
    final: float = 0.01  # rate at the end, as a share of the full rate

    def __post_init__(self) -> None:
        _require_choice("schedule.kind", self.kind, ("constant", "cosine"))
        _require(self.warmup >= 0, "schedule.warmup", "0 or more", self.warmup)
        _require(0 <= self.final <= 1, "schedule.final", "between 0 and 1", self.final)


@dataclass(frozen=True, kw_only=True)
class LossChoice:
    """Weights of the parts of the loss (Eq. 12); a part of weight 0 is neither computed nor built."""

    l1: float = 1.0
    perceptual: float = 0.0
    adversarial: float = 0.0
    psnr: float = 0.0  # minus the PSNR in dB
    ssim: float = 0.0  # one minus the SSIM
    auxiliary: float = 0.0  # L1 on what the attention copies from the references
    discriminator_channels: int = 64  # width of the discriminator's first layer
    vgg_weights: str = ""  # a VGG file for the perceptual part; empty: the hub cache

    def __post_init__(self) -> None:
        for name in ("l1", "perceptual", "adversarial", "psnr", "ssim", "auxiliary"):
            _require(getattr(self, name) >= 0, f"losses.{name}", "0 or more", getattr(self, name))
        channels = self.discriminator_channels
        _require(channels >= 1, "losses.discriminator_channels", "at least 1", channels)
        _require(
            self.l1 + self.perceptual + self.adversarial + self.psnr + self.ssim > 0,
            "losses",
            "of some weight",
            "all zero",
        )


@dataclass(frozen=True, kw_only=True)
class ComputeChoice:
    """Device, ranks and precision; none of it changes what is learnt beyond rounding."""

    device: str = "auto"
    strategy: str = "auto"
    precision: str = "32-true"
    channels_last: bool = False
    compile: bool = False
    checkpoint_gradients: bool = False  # half the memory for a third more time

    def __post_init__(self) -> None:
        _require_choice("compute.device", self.device, ("auto", "cpu", "cuda", "mps"))
        _require_choice("compute.strategy", self.strategy, ("auto", "ddp", "fsdp"))
        _require_choice("compute.precision", self.precision, PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Configuration of a whole training run; docs/training.md of the repository explains every value.

    Attributes:
        name: of letters, digits, - and _; the run folder has it.
        steps: updates of the weights.
        seed: of weights, data and everything random.
        model, data, references, augment, optimizer, schedule, losses, compute: the sections.

    Raises:
        TrainerError: if values make no sense by themselves or together.

    Example:
        >>> Recipe(name="mine", steps=10, data=DataChoice(size=(64, 96))).losses.l1
        1.0
    """

    name: str
    steps: int
    description: str = ""  # shown when a run starts
    seed: int = 0
    validate_every: int = 0  # steps; 0: at the end only
    checkpoint_every: int = 0  # steps; 0: at the end only
    model: ModelChoice = field(default_factory=ModelChoice)
    data: DataChoice = field(default_factory=DataChoice)
    references: ReferenceConfig = field(default_factory=ReferenceConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerChoice = field(default_factory=OptimizerChoice)
    schedule: ScheduleChoice = field(default_factory=ScheduleChoice)
    losses: LossChoice = field(default_factory=LossChoice)
    compute: ComputeChoice = field(default_factory=ComputeChoice)

    def __post_init__(self) -> None:
        fits = self.name.replace("-", "").replace("_", "").isalnum()
        _require(fits, "name", "letters, digits, - and _", self.name)
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        for name in ("seed", "validate_every", "checkpoint_every"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        parts = self.optimizer.accumulate
        fits = self.data.batch % parts == 0
        _require(fits, "data.batch", f"a multiple of optimizer.accumulate ({parts})", self.data.batch)
