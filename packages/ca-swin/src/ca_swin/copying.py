"""Reconstruction that copies: colour comes from references and the previous frame, and is mixed per pixel.

The paper's reconstruction (`RecurrentReconstruction`) mixes *features* and has to paint every colour anew from
them. Here the colours themselves are carried to the decoder, at full resolution, and it chooses and corrects:

`ab_t = M * P_t + (1 - M) * A_t + r` (Eq. 7 in colour space), with P_t the ab carried along the motion, A_t what the
attention copied from the references, M the soft mask and r a residual. Where a keyframe is tracked, P_t itself is
`N * K_t + (1 - N) * P'_t`: what was carried straight from the keyframe, and what came by way of the previous frame.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.recurrent import Keyframe, RecurrentState

# Lightness, carried ab (2), size of the motion's error, whether there is a previous frame.
EVIDENCE_CHANNELS = 5
# The keyframe's ab (2), size of its error, trust in the track.
KEYFRAME_CHANNELS = 4
# Logit of the mask before anything is learnt: what was carried where the motion explains the lightness.
PRIOR_LOGIT, PRIOR_SLOPE = 2.0, 20.0
# Logit of N before anything is learnt, at trust 0 and what full trust adds: the smaller error wins.
KEYFRAME_LOGIT, KEYFRAME_TRUST = -2.0, 3.0


class Carried(Protocol):
    """What `propagate` returns."""

    ab: Tensor
    residual: Tensor
    flow: Tensor


class Tracked(Protocol):
    """What `track` returns."""

    ab: Tensor
    residual: Tensor
    flow: Tensor
    trust: Tensor


class _Motion(NamedTuple):
    """What the past says about a frame: `previous` by way of the last one, `key` straight from the keyframe.

    Attributes:
        previous, key: ab. error, key_error: size of their lightness error. known: 1, or 0 where there is no past.
    """

    previous: Tensor
    error: Tensor
    known: Tensor
    key: Tensor
    key_error: Tensor
    trust: Tensor


class References(NamedTuple):
    """What the attention found for a frame, all at H/8.

    Attributes:
        features: color features. copies: ab of each head. similarity: how well each head matched.
    """

    features: Float[Tensor, "b c h8 w8"]
    copies: Float[Tensor, "b k 2 h8 w8"]
    similarity: Float[Tensor, "b k h8 w8"]


class CopyResult(NamedTuple):
    """A reconstructed frame and the copies it was made of, all ab/110 at full resolution."""

    ab: Float[Tensor, "b 2 h w"]
    attended: Float[Tensor, "b 2 h w"]
    mask: Float[Tensor, "b 1 h w"]


def convex_upsample(
    x: Float[Tensor, "b c h w"], weights: Float[Tensor, "b 9*f*f h w"], factor: int
) -> Float[Tensor, "b c f*h f*w"]:
    """Make each new pixel a convex mixture of the 3 x 3 old pixels around it (Teed and Deng 2020).

    Args:
        x: the map.
        weights: logits of the mixture, for each of the `factor^2` new pixels of an old one; a softmax is
            taken.
        factor: enlargement.

    Raises:
        ValueError: if `weights` has not `9 factor^2` channels.
    """
    b, _, h, w = x.shape
    if weights.shape != (b, 9 * factor**2, h, w):
        raise ValueError(f"weights: expected {(b, 9 * factor**2, h, w)}, got {tuple(weights.shape)}")
    share = rearrange(weights, "b (n f g) h w -> b 1 n f g h w", n=9, f=factor).softmax(dim=2)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    around = torch.stack([padded[..., i : i + h, j : j + w] for i in range(3) for j in range(3)], dim=2)
    mixed = (share * rearrange(around, "b c n h w -> b c n 1 1 h w")).sum(dim=2)
    return rearrange(mixed, "b c f g h w -> b c (h f) (w g)")


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class CopyReconstruction(nn.Module):
    """Reconstruct frame after frame by mixing copied colours.

    Args:
        propagate: `(lightness, previous lightness, previous ab) -> (ab, residual)`: carries the previous frame
            to the current one at full resolution.
        body: `"b width8 h w" -> same`, at H/8: `SwinReconstruction` or `UNetReconstruction`.
        align: None, or `(moving, target) -> aligned` on features at H/4, for a `propagate` that does not follow
            the motion itself.
        track: None, or `(lightness, flow, residual, keyframe's lightness, ab, flow, trust) -> (ab, residual, flow,
            trust)`, flow and residual being those of `propagate`: brings a keyframe to the current frame.
        half, quarter: channels of the encoder's features at H/2 and H/4.
        attended: channels of the attention's features at H/8.
        heads: heads of the attention.
        width: channels of this module at H/4; at H/2 it has half as many.
        body_width: channels of `body`.
        use_state: False takes every frame for the first (ablation 1: no temporal prior).
    """

    def __init__(
        self,
        propagate: nn.Module,
        body: nn.Module,
        *,
        align: nn.Module | None = None,
        track: nn.Module | None = None,
        half: int,
        quarter: int,
        attended: int,
        heads: int,
        width: int,
        body_width: int,
        use_state: bool = True,
    ) -> None:
        super().__init__()
        self.propagate, self.body, self.align, self.use_state = propagate, body, align, use_state
        self.track = track
        fine = width // 2
        evidence = EVIDENCE_CHANNELS + (KEYFRAME_CHANNELS if self.track is not None else 0)
        self.evidence_half = _conv(4 * evidence, fine)
        self.evidence_quarter = _conv(fine, width, stride=2)
        self.attended = nn.Conv2d(attended + 3 * heads, width, 1)
        self.enter = _conv(quarter + 2 * width, width)
        self.down = _conv(width, body_width, stride=2)
        self.up = nn.Conv2d(body_width, width, 1)
        self.refine_quarter = nn.Sequential(_Residual(width), _Residual(width))
        self.choose_head = nn.Conv2d(width, heads, 1)
        self.enlarge = nn.Conv2d(width, 9 * 16, 1)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.refine_half = nn.Sequential(_conv(2 * fine + half, fine), _conv(fine, fine))
        self.output = nn.Conv2d(fine, (3 if self.track is None else 4) * 4, 3, padding=1)
        for layer in (self.choose_head, self.enlarge, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def step(
        self,
        half: Float[Tensor, "b c2 h2 w2"],
        quarter: Float[Tensor, "b c4 h4 w4"],
        lightness: Float[Tensor, "b 1 h w"],
        references: References,
        state: RecurrentState | None = None,
    ) -> tuple[CopyResult, RecurrentState]:
        """Reconstruct one frame; `h` and `w` must be multiples of 8.

        Args:
            half, quarter: the encoder's features of the frame.
            lightness: L/50 - 1.
            references: what the attention found.
            state: what the step before returned; None at the start of a shot.

        Returns:
            The frame with the copies it was made of, and the state for the next one.
        """
        motion, keyframe = self._follow(lightness, state)
        evidence = [lightness, motion.previous, motion.error, motion.known]
        if self.track is not None:
            evidence += [motion.key, motion.key_error, motion.trust]
        fine, coarse = self._features(torch.cat(evidence, dim=1), half, quarter, references)
        copies = _resize(rearrange(references.copies, "b k c h w -> b (k c) h w"), coarse.shape[2:])
        weights = self.choose_head(coarse).softmax(dim=1)
        copy = torch.einsum("bkhw,bkchw->bchw", weights, rearrange(copies, "b (k c) h w -> b k c h w", c=2))
        attended = convex_upsample(copy, self.enlarge(coarse), 4)
        decided = F.pixel_shuffle(self.output(fine), 2)
        logit, correction = decided[:, :1], decided[:, 1:3]
        carried, error = motion.previous, motion.error
        if self.track is not None:
            prior = KEYFRAME_LOGIT + KEYFRAME_TRUST * motion.trust + PRIOR_SLOPE * (error - motion.key_error)
            share = (decided[:, 3:] + prior).sigmoid()
            carried = torch.lerp(carried, motion.key, share)
            error = torch.lerp(error, motion.key_error, share)
        mask = (logit + PRIOR_LOGIT - PRIOR_SLOPE * error).sigmoid() * motion.known
        ab = (attended + mask * (carried - attended) + correction).clamp(-1, 1)
        if self.track is not None and keyframe is None:
            keyframe = Keyframe.at(lightness, ab)
        return CopyResult(ab, attended, mask), RecurrentState(lightness, ab, keyframe)

    def _follow(
        self, lightness: Float[Tensor, "b 1 h w"], state: RecurrentState | None
    ) -> tuple[_Motion, Keyframe | None]:
        """Bring the previous frame and the keyframe to this one."""
        one, no_color = torch.ones_like(lightness), torch.zeros_like(lightness).repeat(1, 2, 1, 1)
        if state is None or not self.use_state:
            return _Motion(no_color, one, 0 * one, no_color, one, 0 * one), None
        moved: Carried = self.propagate(lightness, state.lightness, state.ab)
        error = moved.residual.abs()
        if self.track is None or state.keyframe is None:
            return _Motion(moved.ab, error, one, no_color, one, 0 * one), None
        key = state.keyframe
        found: Tracked = self.track(lightness, moved.flow, moved.residual, *key)
        motion = _Motion(moved.ab, error, one, found.ab, found.residual.abs(), found.trust)
        return motion, key._replace(flow=found.flow, trust=found.trust)

    def _features(
        self, evidence: Tensor, half: Tensor, quarter: Tensor, references: References
    ) -> tuple[Float[Tensor, "b c h2 w2"], Float[Tensor, "b c h4 w4"]]:
        evidence_half = self.evidence_half(F.pixel_unshuffle(evidence, 2))
        evidence_quarter = self.evidence_quarter(evidence_half)
        if self.align is not None:
            evidence_quarter = self.align(evidence_quarter, quarter)
        copies = rearrange(references.copies, "b k c h w -> b (k c) h w")
        attended = self.attended(torch.cat([references.features, copies, references.similarity], dim=1))
        x = self.enter(torch.cat([quarter, evidence_quarter, _resize(attended, quarter.shape[2:])], dim=1))
        x = self.refine_quarter(x + _resize(self.up(self.body(self.down(x))), x.shape[2:]))
        fine = torch.cat([_resize(self.narrow(x), half.shape[2:]), evidence_half, half], dim=1)
        return self.refine_half(fine), x


def _resize(x: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
