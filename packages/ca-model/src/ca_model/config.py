"""What a ColorAlignNet is made of: a frozen, validated configuration and its presets."""

from dataclasses import dataclass, fields, replace
from typing import Any

from ca_model.errors import ModelError

COLOR_TRANSFERS = ("attention", "adain")
ALIGNMENTS = ("deform", "flow")
RECONSTRUCTIONS = ("swin", "unet")


@dataclass(frozen=True, kw_only=True)
class ColorAlignConfig:
    """The parts and sizes of a `ColorAlignNet`.

    The switches of Table 3, each one field, everything else equal: `temporal_prior=False` (structure 1),
    `alignment="flow"` (2; a copying network follows the flow already, its other choice is `"deform"`),
    `reconstruction="unet"` (3), `color_transfer="adain"` (4).

    Attributes:
        widths: encoder channels at H/2, H/4, H/8 and H/16.
        heads, head_channels: heads of the color transfer and channels of each.
        color_transfer: `"attention"` (Eq. 1) or `"adain"` (ablation 4).
        copying: False is the paper's network; True carries colours themselves, ab, from the references and from the
            previous frame to the decoder (see docs/architecture.md).
        keyframe: in a copying network that follows the flow: carry ab from the last frame whose colors were given (or
            the first) straight to the current one as well.
        matching: in a copying network with attention, whose features it compares: match places with the references one
            by one as well, take ab from them at full resolution, and let the same features help the flow.
        semantic: in a copying network: also compare places by the features of an image classifier (`SemanticEncoder`).
        memory: in a copying network: channels of what is remembered from frame to frame beside the colors; 0: nothing.
        recall: in a copying network with attention: also attend to an own frame that is up to so many frames old; 0: to
            none.
        zooms: in a copying network: sizes, as multiples of their own, in which the attention looks at the references as
            well, every second place of each; none: only as they are.
        review: in a copying network: look at all copies, pixel by pixel, before choosing between them.
        smooth: in a copying network: make each color that comes out a learnt mixture of those around it.
        neighbors: frames on either side that FlexAlign aligns (k of Eq. 2); a copying network has none.
        alignment: `"deform"` or `"flow"`.
        temporal_prior: False: FlexAlign hands nothing up its levels (ablation 1); in a copying network, no
            previous frame.
        offset_groups, modulated: of the deformable convolutions (False: v1, as the paper).
        width: channels of the reconstruction at H/4.
        reconstruction: `"swin"` (Eq. 8) or `"unet"` (ablation 3).
        body_width: channels of the reconstruction's body in a copying network, which has it at H/8.
        body_depth, body_heads, window: blocks, heads and window side of the body.
        feature_noise: standard deviation of the noise on deep features in training (N14), in units of theirs.
    """

    widths: tuple[int, int, int, int]
    heads: int = 4
    head_channels: int = 32
    color_transfer: str = "attention"
    copying: bool = False
    keyframe: bool = False
    matching: bool = False
    semantic: bool = False
    memory: int = 0
    recall: int = 0
    zooms: tuple[float, ...] = ()
    review: bool = False
    smooth: bool = False
    neighbors: int = 2
    alignment: str = "deform"
    temporal_prior: bool = True
    offset_groups: int = 8
    modulated: bool = False
    width: int = 64
    reconstruction: str = "swin"
    body_width: int = 96
    body_depth: int = 4
    body_heads: int = 4
    window: int = 8
    feature_noise: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "zooms", tuple(self.zooms))
        if len(self.widths) != 4 or any(not isinstance(w, int) or w < 2 for w in self.widths):
            raise ModelError(
                f"widths: expected 4 whole numbers of 2 or more (H/2 to H/16), got {self.widths}"
            )
        for name in ("heads", "head_channels", "width", "body_width", "body_depth", "body_heads", "window"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name}: expected a whole number of 1 or more, got {value!r}")
        for name, choices in (
            ("color_transfer", COLOR_TRANSFERS),
            ("alignment", ALIGNMENTS),
            ("reconstruction", RECONSTRUCTIONS),
        ):
            if getattr(self, name) not in choices:
                raise ModelError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in (
            "copying",
            "keyframe",
            "matching",
            "semantic",
            "review",
            "smooth",
            "temporal_prior",
            "modulated",
        ):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(f"{name}: expected true or false, got {getattr(self, name)!r}")
        self._check_together()

    def _check_together(self) -> None:
        if not isinstance(self.neighbors, int) or self.neighbors < 0:
            raise ModelError(f"neighbors: expected 0 or more, got {self.neighbors!r}")
        if self.copying and self.neighbors:
            raise ModelError(
                f"neighbors: a copying network looks at no later frame, got {self.neighbors}; set 0"
            )
        for name, unit in (("memory", "channels"), ("recall", "frames")):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ModelError(f"{name}: expected 0 or more {unit}, got {value!r}")
        for zoom in self.zooms:
            if type(zoom) not in (int, float) or not 0.25 <= zoom <= 4 or zoom == 1:
                raise ModelError(f"zooms: expected numbers from 0.25 to 4 other than 1, got {self.zooms}")
        if not self.feature_noise >= 0:
            raise ModelError(f"feature_noise: expected 0 or more, got {self.feature_noise!r}")
        grouped = self.width if self.copying else self.widths[3]
        if self.alignment == "deform" and (self.offset_groups < 1 or grouped % self.offset_groups):
            raise ModelError(
                f"offset_groups: expected a divisor of the {grouped} aligned channels, got {self.offset_groups!r}"
            )
        body = self.body_width if self.copying else self.width
        if self.reconstruction == "swin" and body % self.body_heads:
            raise ModelError(
                f"body_heads: expected a divisor of the body's {body} channels, got {self.body_heads}"
            )

    @property
    def matches(self) -> bool:
        """Whether the network has features to match by, and is to."""
        return self.copying and self.matching and self.color_transfer == "attention"

    @property
    def recalls(self) -> bool:
        """Whether the network has an attention to look at earlier frames with, and is to."""
        return self.copying and self.recall > 0 and self.color_transfer == "attention" and self.temporal_prior

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ColorAlignConfig":
        """Build from plain values (a checkpoint's metadata, a recipe), refusing names that do not exist."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ModelError(
                f"model configuration: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"model configuration: {error}") from error


PRESETS: dict[str, ColorAlignConfig] = {
    # For tests and the demo: the structure of `base` at a size that trains in minutes on a CPU.
    "tiny": ColorAlignConfig(
        widths=(12, 24, 32, 48),
        heads=2,
        head_channels=16,
        copying=True,
        keyframe=True,
        matching=True,
        memory=8,
        recall=4,
        review=True,
        smooth=True,
        neighbors=0,
        alignment="flow",
        width=24,
        body_width=32,
        body_depth=2,
        body_heads=2,
        window=4,
    ),
    # Faithful to the paper as read in NOTES; what it leaves open (widths, depth, heads, window) is our choice.
    "paper": ColorAlignConfig(
        widths=(32, 64, 128, 256),
        heads=4,
        head_channels=64,
        neighbors=2,
        width=128,
        body_depth=6,
        body_heads=4,
        window=8,
        feature_noise=0.05,
    ),
    # What we ship: colours are copied. Departures from the paper stand in docs/architecture.md.
    "base": ColorAlignConfig(
        widths=(24, 56, 112, 192),
        heads=4,
        head_channels=48,
        copying=True,
        keyframe=True,
        matching=True,
        semantic=True,
        memory=32,
        recall=1,
        zooms=(1.5,),
        review=True,
        smooth=True,
        neighbors=0,
        alignment="flow",
        width=64,
        body_width=112,
        body_depth=4,
        body_heads=4,
        window=8,
    ),
}


def preset(name: str, **overrides: Any) -> ColorAlignConfig:
    """A preset by name, some of its fields changed.

    Raises:
        ModelError: if there is no such preset or field.

    Example:
        >>> preset("tiny", reconstruction="unet").reconstruction
        'unet'
    """
    if name not in PRESETS:
        raise ModelError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    unknown = sorted(set(overrides) - {field.name for field in fields(ColorAlignConfig)})
    if unknown:
        raise ModelError(f"model configuration: unknown {', '.join(unknown)}")
    return replace(PRESETS[name], **overrides)
