"""Propagation of colour: from frame to frame, from a keyframe to all that follow it, from references anywhere."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ca_align.flow import box_mean, estimate_flow, refine_flow, sharpen_guess, warp
from ca_align.matching import Match, match_features

# Steps of the flow on each level of its pyramid. A third one at full size would gain 0.04 dB (PSNR of ab carried
# over 19 frames of four training clips) for a fifth more time; a second one in `KeyframeTracking` gains nothing.
FLOW_ITERATIONS = (3, 3, 3, 3, 2)
# Lightness error, network units, at which a step along the motion halves the trust in a track.
TRACK_TOLERANCE = 0.2
# How far features are looked for in the previous frame, cells of 8 pixels.
FLOW_RADIUS = 6
# Steps of the sharpening of a match at a quarter and half of the frame's size, and at its own.
MATCH_ITERATIONS = 3, 2
# Cells of 8 pixels between two references: more than the sharpening can move a match, 3 * 4 + 3 * 2 + 2 pixels.
GAP = 3
# Pixels over which the lightness error of a match is averaged.
ERROR_WINDOW = 7


class Propagated(NamedTuple):
    """The previous frame warped to the current one.

    Attributes:
        ab: its colour, normalized Lab.
        residual: lightness of the current frame less that of the warped frame; large where the motion is wrong or
            something came into view.
        flow: from the current frame to the previous one, pixels; zero where the motion was not followed.
        similarity, agreement: of the features of both frames, as in `Match`; 0 where there are none.
    """

    ab: Float[Tensor, "b 2 h w"]
    residual: Float[Tensor, "b 1 h w"]
    flow: Float[Tensor, "b 2 h w"]
    similarity: Float[Tensor, "b 1 h w"]
    agreement: Float[Tensor, "b 1 h w"]


class Tracked(NamedTuple):
    """A keyframe warped to the current frame.

    Attributes:
        ab: its colour, normalized Lab, sampled once however long ago it was.
        residual: lightness of the current frame less that of the warped keyframe.
        flow: from the current frame to the keyframe, pixels.
        trust: in [0, 1]; how well every step of a pixel's track explained the lightness, 0 once it left the frame.
    """

    ab: Float[Tensor, "b 2 h w"]
    residual: Float[Tensor, "b 1 h w"]
    flow: Float[Tensor, "b 2 h w"]
    trust: Float[Tensor, "b 1 h w"]


class Matched(NamedTuple):
    """Colour of references, warped to a frame from wherever its features were found.

    Attributes:
        ab: normalized Lab, sampled once.
        error: root mean square of the lightness error around each pixel.
        similarity: of the matched features, in [-1, 1].
        agreement: in (0, 1]; 1 where the reference's own best match in the frame leads back (see `Match`).
    """

    ab: Float[Tensor, "b 2 h w"]
    error: Float[Tensor, "b 1 h w"]
    similarity: Float[Tensor, "b 1 h w"]
    agreement: Float[Tensor, "b 1 h w"]


class Atlas(NamedTuple):
    """All references of a clip on one plane, one below the other, with features at H/8 to find a place in it.

    Attributes:
        lightness, ab: network units.
        features: of unit length in each cell.
        valid: which cells belong to a reference; the others only fill the plane.
        number: of the reference that a cell belongs to or continues, from 0.
        hidden: which cells of the references are masked and never matched; None: none.
    """

    lightness: Float[Tensor, "b 1 h w"]
    ab: Float[Tensor, "b 2 h w"]
    features: Float[Tensor, "b c h8 w8"]
    valid: Bool[Tensor, "b 1 h8 w8"]
    number: Float[Tensor, "b 1 h8 w8"]
    hidden: Bool[Tensor, "b 1 h8 w8"] | None = None

    @classmethod
    def of(
        cls,
        references: Sequence[
            tuple[Float[Tensor, "b 1 _h _w"], Float[Tensor, "b 2 _h _w"], Float[Tensor, "b c _h8 _w8"]]
        ],
        masks: Sequence[Bool[Tensor, "b 1 _h8 _w8"] | None] | None = None,
    ) -> "Atlas":
        """Lay out (lightness, ab, features) of each reference, `GAP` cells of continued border around each.

        So no place of a reference knows which others stand beside it.

        Args:
            references: of every one its parts. Behind a mask they should continue what lies before it: a match at the
                edge of a mask is sharpened by up to 20 pixels, as one at the border of a picture is.
            masks: the cells of each reference that may be matched; None: all of them.

        Raises:
            ValueError: if a reference is not eight times as large as its features, or a mask not as large as they.
        """
        if masks is None:
            masks = [None] * len(references)
        wide = max(features.shape[-1] for *_, features in references)
        rows, hidden = [], []
        for number, ((lightness, ab, features), mask) in enumerate(zip(references, masks, strict=True)):
            h, w = features.shape[-2:]
            if lightness.shape[-2:] != (8 * h, 8 * w) or ab.shape[-2:] != (8 * h, 8 * w):
                raise ValueError(
                    f"references: expected {8 * h} x {8 * w} pixels for {h} x {w} features, got "
                    f"{tuple(lightness.shape[-2:])} and {tuple(ab.shape[-2:])}"
                )
            inside = torch.ones_like(features[:, :1], dtype=torch.bool)
            if mask is not None and mask.shape != inside.shape:
                raise ValueError(
                    f"masks: expected {tuple(inside.shape)} as the features, got {tuple(mask.shape)}"
                )
            cells = (GAP, wide - w + GAP, GAP, GAP)
            pixels = tuple(8 * n for n in cells)
            valid = F.pad(inside, cells)
            hidden.append(F.pad(~inside if mask is None else ~mask, cells))
            rows.append(
                (
                    F.pad(lightness, pixels, mode="replicate"),
                    F.pad(ab, pixels, mode="replicate"),
                    F.pad(features, cells),
                    valid,
                    torch.full_like(valid, number, dtype=features.dtype),
                )
            )
        whole = all(mask is None for mask in masks)
        plane, ab, features, valid, numbers = (torch.cat(parts, dim=2) for parts in zip(*rows, strict=True))
        return cls(plane, ab, features, valid, numbers, None if whole else torch.cat(hidden, dim=2))

    def repeat(self, times: int) -> "Atlas":
        """Each clip's atlas for so many frames of it, which lie next to each other in the batch."""
        if times == 1:
            return self
        parts = [part.repeat_interleave(times, dim=0) if isinstance(part, Tensor) else part for part in self]
        return Atlas(*parts)  # type: ignore[arg-type]


class ReferenceMatching(nn.Module):
    """Find each place of a frame in the references by its features, and take its colour from there, at full resolution.

    An attention at H/8 mixes the colours of whole cells; this finds the one cell (`match_features`), sharpens the match
    down to single pixels by the lightness (`refine_flow`) and samples the reference there. Nothing is learnt but the
    features, elsewhere.

    Example:
        >>> lightness, ab = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48)
        >>> features = torch.nn.functional.normalize(torch.rand(1, 8, 4, 6) - 0.5, dim=1)
        >>> found = ReferenceMatching()(lightness, features, Atlas.of([(lightness, ab, features)]))
        >>> torch.allclose(found.ab, ab, atol=1e-3)
        True
    """

    @torch.no_grad()
    def forward(
        self, lightness: Float[Tensor, "b 1 h w"], features: Float[Tensor, "b c h8 w8"], atlas: Atlas
    ) -> Matched:
        """Colour a frame from the references.

        Args:
            lightness: of the frame, network units; height and width eight times those of the features.
            features: of unit length in each cell.
            atlas: the references.

        Raises:
            ValueError: if batches or channels differ.
        """
        match = match_features(features, atlas.features, valid=atlas.valid, hidden=atlas.hidden)
        here, there = lightness.float(), atlas.lightness.float()
        pyramid = [(F.avg_pool2d(here, scale), F.avg_pool2d(there, scale)) for scale in (4, 2)]
        coarse, fine = MATCH_ITERATIONS
        flow, groups = match.flow.float(), None
        # Looked at on a CPU only: a GPU would have to be waited for, and a graph has to serve any number.
        looks = atlas.number.device.type == "cpu" and not torch.compiler.is_compiling()
        if not looks or atlas.number[0, 0, -1, -1] > 0:
            groups = warp(atlas.number, flow, mode="nearest")
        flow = sharpen_guess(flow, pyramid, coarse, groups=groups)
        flow = sharpen_guess(flow, [(here, there)], fine, groups=groups)
        found = warp(torch.cat([atlas.ab, atlas.lightness], dim=1), flow)
        error = box_mean((lightness - found[:, 2:]).square(), ERROR_WINDOW).sqrt()
        return Matched(found[:, :2], error, *_enlarge(match, lightness))


class FlowPropagation(nn.Module):
    """Carry ab along the optical flow of the lightness (`estimate_flow`; nothing is learnt).

    With features of both frames, what moves too fast for the flow is found by them (`match_features`).

    Example:
        >>> frame, ab = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48)
        >>> carried = FlowPropagation()(frame, frame, ab)
        >>> torch.allclose(carried.ab, ab, atol=1e-3)
        True
    """

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        previous_lightness: Float[Tensor, "b 1 h w"],
        previous_ab: Float[Tensor, "b 2 h w"],
        features: Float[Tensor, "b c h8 w8"] | None = None,
        previous_features: Float[Tensor, "b c h8 w8"] | None = None,
    ) -> Propagated:
        """Warp the previous frame to the current one.

        Args:
            lightness: of the current frame, network units.
            previous_lightness, previous_ab: the previous frame. Gradients flow through its ab, not through the flow.
            features, previous_features: of both frames, of unit length in each cell; None: flow alone.

        Raises:
            ValueError: if the lightness maps differ in shape.
        """
        guess, similarity = None, torch.zeros_like(lightness)
        agreement = similarity
        if features is not None and previous_features is not None:
            match = match_features(features, previous_features, radius=FLOW_RADIUS)
            guess = match.flow.float()
            similarity, agreement = _enlarge(match, lightness)
        with torch.no_grad():
            flow = estimate_flow(
                lightness.float(), previous_lightness.float(), iterations=FLOW_ITERATIONS, guess=guess
            )
        moved = warp(torch.cat([previous_ab, previous_lightness], dim=1), flow)
        return Propagated(moved[:, :2], lightness - moved[:, 2:], flow, similarity, agreement)


class KeyframeTracking(nn.Module):
    """Follow every pixel back to a keyframe, and take its colour from there.

    Colour carried from frame to frame is sampled anew at each step and fades; here it is the *position* that is
    carried: `flow_t(p) = f_t(p) + flow_{t-1}(p + f_t(p))`, sharpened against the keyframe's own lightness
    (`refine_flow`), and the colour is sampled once. Nothing is learnt.

    Args:
        iterations: of the sharpening.

    Example:
        >>> frame, ab = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48)
        >>> step = FlowPropagation()(frame, frame, ab)
        >>> tracked = KeyframeTracking()(
        ...     frame, step.flow, step.residual, frame, ab, torch.zeros(1, 2, 32, 48), torch.ones(1, 1, 32, 48)
        ... )
        >>> torch.allclose(tracked.ab, ab, atol=1e-3)
        True
    """

    def __init__(self, *, iterations: int = 1) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        step_flow: Float[Tensor, "b 2 h w"],
        step_residual: Float[Tensor, "b 1 h w"],
        key_lightness: Float[Tensor, "b 1 h w"],
        key_ab: Float[Tensor, "b 2 h w"],
        flow: Float[Tensor, "b 2 h w"],
        trust: Float[Tensor, "b 1 h w"],
    ) -> Tracked:
        """Warp the keyframe to the current frame.

        Args:
            lightness: of the current frame, network units.
            step_flow, step_residual: from the current frame to the previous one, as `FlowPropagation` found them.
            key_lightness, key_ab: the keyframe. Gradients flow through its ab, not through the flow.
            flow, trust: from the previous frame to the keyframe, as they came out there.

        Raises:
            ValueError: if the lightness maps differ in shape.
        """
        with torch.no_grad():
            moved = warp(torch.cat([flow, trust], dim=1), step_flow)
            flow = refine_flow(
                step_flow + moved[:, :2], lightness.float(), key_lightness.float(), iterations=self.iterations
            )
            step_error = box_mean(step_residual.float().square(), 3) / TRACK_TOLERANCE**2
            trust = moved[:, 2:] / (1 + step_error) * _inside(flow)
        found = warp(torch.cat([key_ab, key_lightness], dim=1), flow)
        return Tracked(found[:, :2], lightness - found[:, 2:], flow, trust)


def _enlarge(
    match: Match, like: Float[Tensor, "b c h w"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Similarity and agreement of a match at the size of a frame."""
    both = torch.cat([match.similarity, match.agreement], dim=1).to(like.dtype)
    both = F.interpolate(both, size=tuple(like.shape[-2:]), mode="bilinear", align_corners=False)
    return both[:, :1], both[:, 1:]


def carry_features(
    features: Float[Tensor, "b c h2 w2"], flow: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b c h2 w2"]:
    """Warp features of the previous frame to the current one by the average of a flow on a finer grid.

    Args:
        features: of the previous frame.
        flow: where each pixel of the current frame was, as a displacement (x, y) in pixels of the flow's own grid.

    Returns:
        `b c h2 w2`.

    Example:
        >>> carry_features(torch.ones(1, 3, 4, 6), torch.zeros(1, 2, 16, 24)).shape
        torch.Size([1, 3, 4, 6])
    """
    h, w = features.shape[-2:]
    coarse = F.adaptive_avg_pool2d(flow, (h, w)) * (w / flow.shape[-1])
    return warp(features, coarse)


def _inside(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """1 where the flow points into the frame, else 0."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, dtype=flow.dtype, device=flow.device) + flow[:, :1]
    y = torch.arange(h, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1:]
    return ((x >= -0.5) & (x <= w - 0.5) & (y >= -0.5) & (y <= h - 0.5)).to(flow.dtype)


class StillPropagation(nn.Module):
    """Propagation without motion, the alternative to `FlowPropagation`: ab stays where it was."""

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        previous_lightness: Float[Tensor, "b 1 h w"],
        previous_ab: Float[Tensor, "b 2 h w"],
        features: Float[Tensor, "b c h8 w8"] | None = None,
        previous_features: Float[Tensor, "b c h8 w8"] | None = None,
    ) -> Propagated:
        """The previous frame as it is; arguments as `FlowPropagation`."""
        del features, previous_features
        still = torch.zeros_like(lightness).repeat(1, 2, 1, 1)
        nothing = torch.zeros_like(lightness)
        return Propagated(previous_ab, lightness - previous_lightness, still, nothing, nothing)
