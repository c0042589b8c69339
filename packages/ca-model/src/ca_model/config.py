"""What a network is made of: `PaperConfig` and `CopyConfig`, frozen and validated, each with the fields of its own."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from ca_model.errors import ModelError

COLOR_TRANSFERS = ("attention", "adain")
ALIGNMENTS = ("deform", "flow")
RECONSTRUCTIONS = ("swin", "unet")
# Largest values a configuration may have: far above any network one would train, low enough to be looked at safely.
_MOST_CHANNELS, _MOST_BLOCKS, _MOST_FRAMES, _WIDEST_WINDOW = 8192, 256, 1000, 64


@dataclass(frozen=True, kw_only=True)
class ColorAlignConfig:
    """The parts and sizes that both networks have; build a `PaperConfig` or a `CopyConfig`.

    The switches of Table 3, each one field, everything else equal: `temporal_prior=False` (structure 1),
    `alignment="flow"` (2; a copying network follows the flow already, its other choice is `"deform"`),
    `reconstruction="unet"` (3), `color_transfer="adain"` (4).

    Attributes:
        copying: which of the two it is; follows from the class.
        neighbors: frames on either side that are aligned (k of Eq. 2); 0 in a copying network, which has no lookahead.
        widths: encoder channels at H/2, H/4, H/8 and H/16.
        heads, head_channels: heads of the colour transfer and channels of each.
        color_transfer: `"attention"` (Eq. 1) or `"adain"` (ablation 4).
        alignment: `"deform"` or `"flow"`.
        temporal_prior: False: no temporal prior (ablation 1).
        offset_groups: of the deformable convolutions.
        width: channels of the reconstruction at H/4.
        reconstruction: `"swin"` (Eq. 8) or `"unet"` (ablation 3).
        body_depth, body_heads, window: blocks, heads and window side of the Swin body.
        feature_noise: standard deviation of the noise on deep features in training (N14), in units of theirs.

    Raises:
        ModelError: if a value is out of range, or two do not go together.
    """

    # Values that a file of weights or a recipe may state of what this network has not, or always has.
    fixed: ClassVar[dict[str, Any]] = {}

    copying: bool = field(default=False, init=False)
    neighbors: int = field(default=0, init=False)
    widths: tuple[int, int, int, int]
    heads: int = 4
    head_channels: int = 32
    color_transfer: str = "attention"
    alignment: str = "deform"
    temporal_prior: bool = True
    offset_groups: int = 8
    width: int = 64
    reconstruction: str = "swin"
    body_depth: int = 4
    body_heads: int = 4
    window: int = 8
    feature_noise: float = 0.0

    def __post_init__(self) -> None:
        self._listed("widths")
        if len(self.widths) != 4 or any(
            type(width) is not int or not 2 <= width <= _MOST_CHANNELS for width in self.widths
        ):
            raise ModelError(
                f"widths: expected 4 whole numbers from 2 to {_MOST_CHANNELS} (H/2 to H/16), got {_short(self.widths)}"
            )
        self._check_whole(1, _MOST_CHANNELS, "heads", "head_channels", "offset_groups", "width", "body_heads")
        self._check_whole(1, _MOST_BLOCKS, "body_depth")
        self._check_whole(1, _WIDEST_WINDOW, "window")
        for name, choices in (
            ("color_transfer", COLOR_TRANSFERS),
            ("alignment", ALIGNMENTS),
            ("reconstruction", RECONSTRUCTIONS),
        ):
            if getattr(self, name) not in choices:
                raise ModelError(
                    f"{name}: expected one of {', '.join(choices)}, got {_short(getattr(self, name))}"
                )
        self._check_switches("temporal_prior")
        if type(self.feature_noise) not in (int, float) or not 0 <= self.feature_noise < math.inf:
            raise ModelError(
                f"feature_noise: expected a number of 0 or more, got {_short(self.feature_noise)}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ColorAlignConfig":
        """The configuration that plain values (a checkpoint's metadata, a recipe) stand for, chosen by `copying`.

        Raises:
            ModelError: for a name that does not exist, a value out of range, or one that the chosen network has not.

        Example:
            >>> ColorAlignConfig.from_dict({"widths": [8, 8, 8, 16], "copying": True, "smooth": True}).copying
            True
            >>> ColorAlignConfig.from_dict({"widths": [8, 8, 8, 16], "memory": 8})
            Traceback (most recent call last):
            ca_model.errors.ModelError: memory: the paper's network has 0 and no other, got 8; leave it out
        """
        if not isinstance(values, dict):
            raise ModelError(f"model configuration: expected names and values, got {_short(values)}")
        copying = values.get("copying", cls.copying)
        if not isinstance(copying, bool):
            raise ModelError(f"copying: expected true or false, got {_short(copying)}")
        kind = cls if cls is not ColorAlignConfig else CopyConfig if copying else PaperConfig
        own = {one.name for one in fields(kind) if one.init}
        fixed = {one.name: one.default for one in fields(kind) if not one.init} | kind.fixed
        unknown = sorted(set(values) - own - set(fixed))
        if unknown:
            raise ModelError(
                f"model configuration: unknown {', '.join(unknown)[:200]}; known are {', '.join(sorted(own))}"
            )
        for name in sorted(set(values) & set(fixed)):
            value = tuple(values[name]) if isinstance(values[name], list) else values[name]
            if value != fixed[name]:
                which = "a copying network" if kind.copying else "the paper's network"
                raise ModelError(
                    f"{name}: {which} has {fixed[name]!r} and no other, got {_short(value)}; leave it out"
                )
        if "widths" not in values:
            raise ModelError("model configuration: expected widths, got none")
        return kind(**{name: value for name, value in values.items() if name in own})

    def _listed(self, name: str) -> None:
        """Turn a list, as JSON and TOML have it, into a tuple."""
        value = getattr(self, name)
        if not isinstance(value, list | tuple):
            raise ModelError(f"{name}: expected a list of numbers, got {_short(value)}")
        object.__setattr__(self, name, tuple(value))

    def _check_whole(self, least: int, most: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ModelError(
                    f"{name}: expected a whole number from {least} to {most}, got {_short(value)}"
                )

    def _check_switches(self, *names: str) -> None:
        for name in names:
            if not isinstance(getattr(self, name), bool):
                raise ModelError(f"{name}: expected true or false, got {_short(getattr(self, name))}")

    def _check_divisors(self, *, aligned: tuple[int, ...], body: int) -> None:
        for channels in aligned:
            if channels % self.offset_groups:
                raise ModelError(
                    f"offset_groups: expected a divisor of the {channels} aligned channels, got {self.offset_groups!r}"
                )
        if self.reconstruction == "swin" and body % self.body_heads:
            raise ModelError(
                f"body_heads: expected a divisor of the body's {body} channels, got {self.body_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class PaperConfig(ColorAlignConfig):
    """The paper's network (`PaperNet`).

    `temporal_prior=False`: FlexAlign hands nothing up its levels. `alignment="flow"`: FlexAlign warps by one vector a
    pixel; the recurrence keeps its deformable convolution.

    Attributes:
        neighbors: frames on either side that FlexAlign aligns (k of Eq. 2).
        modulated: deformable convolutions v2; the paper has v1.
    """

    fixed: ClassVar[dict[str, Any]] = {
        "keyframe": False,
        "matching": False,
        "semantic": False,
        "memory": 0,
        "recall": 0,
        "zooms": (),
        "review": False,
        "smooth": False,
        "body_width": 96,
    }

    neighbors: int = 2
    modulated: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole(0, _MOST_FRAMES, "neighbors")
        self._check_switches("modulated")
        deformed = (self.widths[3],) if self.alignment == "deform" else ()
        self._check_divisors(aligned=(*deformed, self.width), body=self.width)


@dataclass(frozen=True, kw_only=True)
class CopyConfig(ColorAlignConfig):
    """The network that copies colours (`CopyNet`): ab itself goes from references and earlier frames to the decoder.

    `temporal_prior=False`: every frame is taken for the first. `alignment="flow"`: ab is carried along the motion from
    the previous frame and straight from the keyframe (the last frame whose colours were given, or the first);
    `"deform"`: it stays where it is, and a deformable convolution aligns what is made of it.
    `color_transfer="attention"`: places are also matched with the references one by one, and recalled.

    Attributes:
        alignment: `"flow"` or `"deform"`.
        semantic: also compare places by the features of an image classifier (`SemanticEncoder`).
        memory: channels of what is remembered from frame to frame beside the colours; 0: nothing.
        recall: with a temporal prior, the attention also looks at an own frame up to so many frames old; 0: at none.
        zooms: sizes, as multiples of their own, in which the colour transfer looks at the references as well, every
            second place of each; none: only as they are.
        body_width: channels of the reconstruction's body, at H/8.

    Raises:
        ModelError: if a value is out of range, or two do not go together.
    """

    fixed: ClassVar[dict[str, Any]] = {
        "keyframe": True,
        "matching": True,
        "review": True,
        "smooth": True,
        "modulated": False,
    }

    copying: bool = field(default=True, init=False)
    alignment: str = "flow"
    semantic: bool = False
    memory: int = 0
    recall: int = 0
    zooms: tuple[float, ...] = ()
    body_width: int = 96

    def __post_init__(self) -> None:
        self._listed("zooms")
        super().__post_init__()
        self._check_whole(0, _MOST_CHANNELS, "memory")
        self._check_whole(0, _MOST_FRAMES, "recall")
        self._check_whole(1, _MOST_CHANNELS, "body_width")
        self._check_switches("semantic")
        for zoom in self.zooms:
            if type(zoom) not in (int, float) or not 0.25 <= zoom <= 4 or zoom == 1:
                raise ModelError(
                    f"zooms: expected numbers from 0.25 to 4 other than 1, got {_short(self.zooms)}"
                )
        aligned = () if self.follows_flow else (self.width,)
        self._check_divisors(aligned=aligned, body=self.body_width)

    @property
    def attends(self) -> bool:
        """Whether an attention compares places, so that they can be matched one by one."""
        return self.color_transfer == "attention"

    @property
    def follows_flow(self) -> bool:
        """Whether colours are carried along the optical flow, from the keyframe as well."""
        return self.alignment == "flow"

    @property
    def recalls(self) -> bool:
        """Whether the attention also looks at an earlier frame."""
        return self.recall > 0 and self.attends and self.temporal_prior


def _short(value: object) -> str:
    """A value as an error shows it: a file may hold anything of any length."""
    if type(value) is int and abs(value) >= 1 << 64:
        return "a number beyond all bounds"  # Python refuses to print the longest
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
