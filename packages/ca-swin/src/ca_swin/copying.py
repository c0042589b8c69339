"""Reconstruction that copies: colour comes from references and the previous frame, and is mixed per pixel.

The paper's reconstruction (`RecurrentReconstruction`) mixes *features* and has to paint every colour anew from
them. Here the colours themselves are carried to the decoder, at full resolution, and it chooses and corrects:

`ab_t = M * P_t + (1 - M) * A_t + r` (Eq. 7 in colour space), with P_t the ab carried along the motion, A_t what the
attention copied from the references, M the soft mask and r a residual. Where a keyframe is tracked, P_t itself is
`N * K_t + (1 - N) * P'_t`: what was carried straight from the keyframe, and what came by way of the previous frame;
and where places are matched with the references one by one, what was found there has its share in P_t as well.
"""

import math
from collections.abc import Callable
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
# A match's ab (2), size of its error, similarity, agreement; similarity and agreement with the previous frame.
MATCH_CHANNELS = 7
# Colors differ by hundredths of their unit: enlarged, a review learns from them as fast as from features.
REVIEW_GAIN = 8.0
# Logits by which a color is mixed with the 8 around it before anything is learnt: shares of 1, 2, 4 (binomial).
SMOOTHING = (0.0, math.log(2), 0.0, math.log(2), math.log(4), math.log(2), 0.0, math.log(2), 0.0)
# Logit of the mask before anything is learnt: what was carried where the motion explains the lightness.
PRIOR_LOGIT, PRIOR_SLOPE = 2.0, 20.0
# Logit of N before anything is learnt, at trust 0 and what full trust adds: the smaller error wins.
KEYFRAME_LOGIT, KEYFRAME_TRUST = -2.0, 3.0
# Logit of a match's share before anything is learnt, without agreement and what full agreement adds. Its error is that
# of the pixels around, of which it is the root mean square.
MATCH_LOGIT, MATCH_AGREEMENT, MATCH_WINDOW = -3.5, 4.0, 7
# Logit of a recalled copy's share in its head's before anything is learnt, and what similarity adds: as if both had
# been looked for together, at a usual temperature.
RECALL_LOGIT, RECALL_SLOPE = -0.5, 12.0


class Carried(Protocol):
    """What `propagate` returns."""

    ab: Tensor
    residual: Tensor
    flow: Tensor
    similarity: Tensor
    agreement: Tensor


class Tracked(Protocol):
    """What `track` returns."""

    ab: Tensor
    residual: Tensor
    flow: Tensor
    trust: Tensor


class Matched(Protocol):
    """What was found for a frame in the references, place by place, at full resolution."""

    @property
    def ab(self) -> Tensor: ...
    @property
    def error(self) -> Tensor: ...
    @property
    def similarity(self) -> Tensor: ...
    @property
    def agreement(self) -> Tensor: ...


class _Motion(NamedTuple):
    """What the past says about a frame: `previous` by way of the last one, `key` straight from the keyframe.

    Attributes:
        previous, key: ab. error, key_error: size of their lightness error. known: 1, or 0 where there is no past.
        similarity, agreement: of the features of both frames. memory: brought along with the previous frame.
    """

    previous: Tensor
    error: Tensor
    known: Tensor
    similarity: Tensor
    agreement: Tensor
    memory: Tensor | None
    key: Tensor
    key_error: Tensor
    trust: Tensor


class References(NamedTuple):
    """What was found for a frame in the references, the attention's at H/8.

    Attributes:
        features: color features. copies: ab of each head. similarity: how well each head matched.
        matched: colors found place by place; needed if and only if the network takes them.
        descriptors: features of the frame itself, by which the next one may find it.
        recalled: ab and similarity of each head's copy from an earlier frame; None at the start.
    """

    features: Float[Tensor, "b c h8 w8"]
    copies: Float[Tensor, "b k 2 h8 w8"]
    similarity: Float[Tensor, "b k h8 w8"]
    matched: Matched | None = None
    descriptors: Float[Tensor, "b d h8 w8"] | None = None
    recalled: tuple[Float[Tensor, "b k 2 h8 w8"], Float[Tensor, "b k h8 w8"]] | None = None


class CopyResult(NamedTuple):
    """A reconstructed frame and the copies it was made of, all ab/110 at full resolution.

    Attributes:
        ab: the frame, smoothed where the network does so; what the state keeps of it is not.
        attended: the attention's copy.
        mask: share of what was carried or matched, against `attended`.
    """

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


def _mix(x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """`torch.lerp` for tensors of several precisions, as they come under autocast."""
    return x + share * (y - x)


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _Review(nn.Module):
    """Look at the copies themselves, pixel by pixel, and amend what was decided by features; at first by nothing."""

    def __init__(self, copies: int, fine: int, decided: int) -> None:
        super().__init__()
        self.look = _conv(4 * 2 * copies, fine)
        self.compare = nn.Sequential(_conv(2 * fine, fine), _Residual(fine))
        self.amend = nn.Conv2d(fine, decided, 3, padding=1)
        for parameter in self.amend.parameters():
            nn.init.zeros_(parameter)

    def forward(self, fine: Float[Tensor, "b c h2 w2"], copies: list[Tensor]) -> Float[Tensor, "b d h2 w2"]:
        seen = self.look(F.pixel_unshuffle(REVIEW_GAIN * torch.cat(copies, dim=1), 2))
        return self.amend(self.compare(torch.cat([fine, seen], dim=1)))


class CopyReconstruction(nn.Module):
    """Reconstruct frame after frame by mixing copied colours.

    Args:
        propagate: `(lightness, previous lightness, previous ab, descriptors, previous descriptors) -> (ab, residual,
            flow)`: carries the previous frame to the current one at full resolution; descriptors may be None.
        body: `"b width8 h w" -> same`, at H/8: `SwinReconstruction` or `UNetReconstruction`.
        align: None, or `(moving, target) -> aligned` on features at H/4, for a `propagate` that does not follow
            the motion itself.
        track: None, or `(lightness, flow, residual, keyframe's lightness, ab, flow, trust) -> (ab, residual, flow,
            trust)`, flow and residual being those of `propagate`: brings a keyframe to the current frame.
        matching: whether colors matched place by place are mixed in.
        carry: `(map "b c h4 w4", flow "b 2 h w") -> "b c h4 w4"`: brings what is remembered along the motion; needed
            where `memory` is not 0.
        memory: channels of what is remembered at H/4; 0: nothing is.
        recall: whether copies from an earlier frame are mixed into those of the references.
        review: whether the choice between the copies is amended by a look at them, once all are made.
        smooth: whether each color that comes out is a learnt mixture of those around it; what later frames build on
            stays sharp.
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
        matching: bool = False,
        carry: Callable[[Tensor, Tensor], Tensor] | None = None,
        memory: int = 0,
        recall: bool = False,
        review: bool = False,
        smooth: bool = False,
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
        memory, recall = memory if use_state else 0, recall and use_state
        self.track, self.matching, self.carry, self.memory = track, matching, carry, memory
        self.smooth = smooth
        fine = width // 2
        evidence = EVIDENCE_CHANNELS + KEYFRAME_CHANNELS * (track is not None) + MATCH_CHANNELS * matching
        self.evidence_half = _conv(4 * evidence, fine)
        self.evidence_quarter = _conv(fine, width, stride=2)
        self.attended = nn.Conv2d(attended + 3 * heads * (1 + recall), width, 1)
        self.enter = _conv(quarter + 2 * width + memory, width)
        self.remember = nn.Conv2d(width, memory, 1) if memory else None
        self.down = _conv(width, body_width, stride=2)
        self.up = nn.Conv2d(body_width, width, 1)
        self.refine_quarter = nn.Sequential(_Residual(width), _Residual(width))
        self.choose_head = nn.Conv2d(width, heads, 1)
        self.choose_recalled = nn.Conv2d(width, heads, 1) if recall else None
        self.enlarge = nn.Conv2d(width, 9 * 16, 1)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.refine_half = nn.Sequential(_conv(2 * fine + half, fine), _conv(fine, fine))
        copies = 2 + (track is not None) + matching
        decided = (1 + copies + len(SMOOTHING) * smooth) * 4
        self.output = nn.Conv2d(fine, decided, 3, padding=1)
        self.review = _Review(copies, fine, decided) if review else None
        shares = () if self.choose_recalled is None else (self.choose_recalled,)
        for layer in (self.choose_head, self.enlarge, self.output, *shares):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

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
        motion, keyframe = self._follow(lightness, references.descriptors, state)
        found = references.matched
        evidence = [lightness, motion.previous, motion.error, motion.known]
        if self.track is not None:
            evidence += [motion.key, motion.key_error, motion.trust]
        if self.matching:
            assert found is not None
            evidence += [found.ab, found.error, found.similarity, found.agreement]
            evidence += [motion.similarity, motion.agreement]
        fine, coarse = self._features(torch.cat(evidence, dim=1), motion.memory, half, quarter, references)
        attended = convex_upsample(self._copy(coarse, references), self.enlarge(coarse), 4)
        decided = self.output(fine)
        if self.review is not None:
            copies = [attended, motion.previous]
            if self.track is not None:
                copies.append(motion.key)
            if self.matching:
                assert found is not None
                copies.append(found.ab)
            decided = decided + self.review(fine, copies)
        decided = F.pixel_shuffle(decided, 2)
        logit, correction, *shares = decided.split([1, 2] + [1] * (decided.shape[1] - 3), dim=1)
        carried, error, known = motion.previous, motion.error, motion.known
        if self.track is not None:
            prior = KEYFRAME_LOGIT + KEYFRAME_TRUST * motion.trust + PRIOR_SLOPE * (error - motion.key_error)
            share = (shares.pop(0) + prior).sigmoid()
            carried = _mix(carried, motion.key, share)
            error = _mix(error, motion.key_error, share)
        if self.matching:
            assert found is not None
            prior = (
                MATCH_LOGIT + MATCH_AGREEMENT * found.agreement + PRIOR_SLOPE * (_around(error) - found.error)
            )
            share = (shares.pop(0) + prior).sigmoid()
            carried = _mix(carried, found.ab, share)
            error = _mix(error, found.error, share)
            known = _mix(known, torch.ones_like(known), share)
        mask = (logit + PRIOR_LOGIT - PRIOR_SLOPE * error).sigmoid() * known
        ab = (attended + mask * (carried - attended) + correction).clamp(-1, 1)
        if self.track is not None and keyframe is None:
            keyframe = Keyframe.at(lightness, ab)
        memory = None if self.remember is None else self.remember(coarse).tanh()
        shown = ab
        if self.smooth:
            logits = torch.cat(shares, dim=1) + ab.new_tensor(SMOOTHING)[:, None, None]
            shown = convex_upsample(ab, logits, 1)
        return CopyResult(shown, attended, mask), RecurrentState(
            lightness, ab, keyframe, references.descriptors, memory
        )

    def _copy(self, coarse: Float[Tensor, "b c h4 w4"], references: References) -> Float[Tensor, "b 2 h4 w4"]:
        """Choose between the heads' copies, and within a head between the references and the earlier frame."""
        copies = _enlarge_copies(references.copies, coarse.shape[2:])
        if self.choose_recalled is not None and references.recalled is not None:
            recalled, similarity = references.recalled
            closer = _resize(similarity - references.similarity, coarse.shape[2:])
            share = (self.choose_recalled(coarse) + RECALL_LOGIT + RECALL_SLOPE * closer).sigmoid()
            copies = _mix(copies, _enlarge_copies(recalled, coarse.shape[2:]), share[:, :, None])
        weights = self.choose_head(coarse).softmax(dim=1)
        return torch.einsum("bkhw,bkchw->bchw", weights, copies)

    def _follow(
        self, lightness: Float[Tensor, "b 1 h w"], descriptors: Tensor | None, state: RecurrentState | None
    ) -> tuple[_Motion, Keyframe | None]:
        """Bring the previous frame, the memory and the keyframe to this one."""
        one, zero = torch.ones_like(lightness), torch.zeros_like(lightness)
        no_key = (zero.repeat(1, 2, 1, 1), one, zero)
        if state is None or not self.use_state:
            b, _, h, w = lightness.shape
            memory = lightness.new_zeros(b, self.memory, h // 4, w // 4) if self.memory else None
            return _Motion(no_key[0], one, zero, zero, zero, memory, *no_key), None
        moved: Carried = self.propagate(lightness, state.lightness, state.ab, descriptors, state.descriptors)
        memory = None
        if self.memory:
            assert self.carry is not None
            assert state.memory is not None
            memory = self.carry(state.memory, moved.flow)
        past = (moved.ab, moved.residual.abs(), one, moved.similarity, moved.agreement, memory)
        if self.track is None or state.keyframe is None:
            return _Motion(*past, *no_key), None
        key = state.keyframe
        found: Tracked = self.track(lightness, moved.flow, moved.residual, *key)
        motion = _Motion(*past, found.ab, found.residual.abs(), found.trust)
        return motion, key._replace(flow=found.flow, trust=found.trust)

    def _features(
        self, evidence: Tensor, memory: Tensor | None, half: Tensor, quarter: Tensor, references: References
    ) -> tuple[Float[Tensor, "b c h2 w2"], Float[Tensor, "b c h4 w4"]]:
        evidence_half = self.evidence_half(F.pixel_unshuffle(evidence, 2))
        evidence_quarter = self.evidence_quarter(evidence_half)
        if self.align is not None:
            evidence_quarter = self.align(evidence_quarter, quarter)
        seen = [references.features, references.copies.flatten(1, 2), references.similarity]
        if self.choose_recalled is not None:
            recalled = references.recalled or (references.copies, torch.zeros_like(references.similarity))
            seen += [recalled[0].flatten(1, 2), recalled[1]]
        attended = self.attended(torch.cat(seen, dim=1))
        entering = [quarter, evidence_quarter, _resize(attended, quarter.shape[2:])]
        x = self.enter(torch.cat(entering if memory is None else [*entering, memory], dim=1))
        x = self.refine_quarter(x + _resize(self.up(self.body(self.down(x))), x.shape[2:]))
        fine = torch.cat([_resize(self.narrow(x), half.shape[2:]), evidence_half, half], dim=1)
        return self.refine_half(fine), x


def _around(error: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Root mean square over the pixels around."""
    radius = MATCH_WINDOW // 2
    return F.avg_pool2d(error.square(), MATCH_WINDOW, 1, radius, count_include_pad=False).add(1e-8).sqrt()


def _enlarge_copies(copies: Float[Tensor, "b k 2 h w"], size: torch.Size) -> Float[Tensor, "b k 2 h2 w2"]:
    return _resize(copies.flatten(1, 2), size).unflatten(1, (-1, 2))


def _resize(x: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
