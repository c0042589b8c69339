"""Reconstruction by copying: colour comes from references and earlier frames, and is mixed per pixel.

The paper's reconstruction (`ca_swin.RecurrentReconstruction`) mixes *features* and has to paint every colour anew from
them. Here the colours themselves are carried to the decoder, at full resolution, and it chooses and corrects:

`ab_t = M * P_t + (1 - M) * A_t + r` (Eq. 7 in colour space), with P_t the ab carried along the motion, A_t what the
attention copied from the references, M the soft mask and r a residual. Where a keyframe is tracked, P_t itself is
`N * K_t + (1 - N) * P'_t`: what was carried straight from the keyframe, and what came by way of the previous frame;
and where places are matched with the references one by one, what was found there has its share in P_t as well.
"""

import math
from typing import cast

import torch
from ca_align import (
    DeformAlign,
    FlowPropagation,
    KeyframeTracking,
    Matched,
    Propagated,
    StillPropagation,
    Tracked,
    carry_features,
)
from jaxtyping import Float
from torch import Tensor, nn

from ca_model.body import make_body
from ca_model.config import CopyConfig
from ca_model.copies import CopyResult, Past, References, mix_in
from ca_model.frames import Copy
from ca_model.mixing import (
    around,
    convex_upsample,
    enlarge_copies,
    mix,
    pixel_shuffle,
    resize,
    unshuffled_conv,
)
from ca_model.state import Keyframe, RecurrentState

# Lightness, carried ab (2), size of the motion's error, whether there is a previous frame.
EVIDENCE_CHANNELS = 5
# The keyframe's ab (2), size of its error, trust in the track.
KEYFRAME_CHANNELS = 4
# A match's ab (2), size of its error, similarity, agreement; similarity and agreement with the previous frame.
MATCH_CHANNELS = 7
# Colours differ by hundredths of their unit: enlarged, a review learns from them as fast as from features.
REVIEW_GAIN = 8.0
# Logits by which a colour is mixed with the 8 around it before anything is learnt: shares of 1, 2, 4 (binomial).
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
        conv, activation = cast(tuple[nn.Conv2d, nn.Module], tuple(self.look))
        seen = activation(unshuffled_conv(conv, copies, gain=REVIEW_GAIN))
        return self.amend(self.compare(torch.cat([fine, seen], dim=1)))


class CopyReconstruction(nn.Module):
    """Reconstruct frame after frame by mixing copied colours.

    Args:
        config: `width` channels at H/4 (half as many at H/2), `body_width` of the body at H/8, and which copies there
            are.

    Attributes:
        propagate: carries the previous frame to the current one, at full resolution.
        body: `SwinReconstruction` or `UNetReconstruction`, at H/8.
        align: on features at H/4, where `propagate` does not follow the motion itself; else None.
        align_to: brings the encoder's features at H/4 to the channels of what is aligned to them.
        track: brings the keyframe to the current frame, where `propagate` follows the motion; else None.
        remember: what is noted for the next frame; None without a memory.
        choose_recalled: share of an earlier frame's copy in that of the references; None where none is recalled.
        review: amends the choice between the copies by a look at them, once all are made.
    """

    smoothing: Float[Tensor, "9 1 1"]

    def __init__(self, config: CopyConfig) -> None:
        super().__init__()
        follows, heads, width = config.follows_flow, config.heads, config.width
        self.use_state, self.matches = config.temporal_prior, config.attends
        self.propagate = FlowPropagation() if follows else StillPropagation()
        self.body = make_body(config, config.body_width)
        self.align = None if follows else DeformAlign(width, offset_groups=config.offset_groups)
        self.track = KeyframeTracking() if follows else None
        self.memory = config.memory if self.use_state else 0
        recalls, half, quarter, attended = config.recalls, *config.widths[:3]
        fits = follows or quarter == width
        self.align_to = nn.Identity() if fits else nn.Conv2d(quarter, width, 1)
        fine = width // 2
        evidence = EVIDENCE_CHANNELS + KEYFRAME_CHANNELS * follows + MATCH_CHANNELS * self.matches
        self.evidence_half = _conv(4 * evidence, fine)
        self.evidence_quarter = _conv(fine, width, stride=2)
        self.attended = nn.Conv2d(attended + 3 * heads * (1 + recalls), width, 1)
        self.enter = _conv(quarter + 2 * width + self.memory, width)
        self.remember = nn.Conv2d(width, self.memory, 1) if self.memory else None
        self.down = _conv(width, config.body_width, stride=2)
        self.up = nn.Conv2d(config.body_width, width, 1)
        self.refine_quarter = nn.Sequential(_Residual(width), _Residual(width))
        self.choose_head = nn.Conv2d(width, heads, 1)
        self.choose_recalled = nn.Conv2d(width, heads, 1) if recalls else None
        self.enlarge = nn.Conv2d(width, 9 * 16, 1)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.refine_half = nn.Sequential(_conv(2 * fine + half, fine), _conv(fine, fine))
        copies = 2 + follows + self.matches
        decided = (1 + copies + len(SMOOTHING)) * 4
        self.output = nn.Conv2d(fine, decided, 3, padding=1)
        self.review = _Review(copies, fine, decided)
        self.register_buffer("smoothing", torch.tensor(SMOOTHING)[:, None, None], persistent=False)
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
            references: what was found in the references.
            state: what the step before returned; None at the start of a shot.

        Returns:
            The frame with the copies it was made of, and the state for the next one.
        """
        past, keyframe = self._follow(lightness, references.descriptors, state)
        evidence, copies = self._evidence(lightness, past, references.matched)
        fine, coarse = self._features(evidence, past.memory, half, quarter, references)
        attended = convex_upsample(self._copy(coarse, references), self.enlarge(coarse), 4)
        decided = self.output(fine) + self.review(fine, [attended, *copies])
        logit, correction, *shares = pixel_shuffle(decided).split([1, 2, *self._shares], dim=1)
        carried, error, known, mixed = self._choose(past, references.matched, shares)
        mask = (logit + PRIOR_LOGIT - PRIOR_SLOPE * error).sigmoid() * known
        ab = (attended + mask * (carried - attended) + correction).clamp(-1, 1)
        shown = convex_upsample(ab, shares[-1] + self.smoothing, 1)
        if self.track is not None and keyframe is None:
            keyframe = Keyframe.at(lightness, ab)
        memory = None if self.remember is None else self.remember(coarse).tanh()
        after = RecurrentState(lightness, ab, keyframe, references.descriptors, memory)
        return CopyResult(shown, attended, mask, mix_in(mixed, "attended", attended, 1 - mask)), after

    @property
    def _shares(self) -> list[int]:
        """Channels that say how the copies are mixed: of the keyframe, of the match, of each pixel around."""
        return [1] * ((self.track is not None) + self.matches) + [len(SMOOTHING)]

    def _evidence(
        self, lightness: Float[Tensor, "b 1 h w"], past: Past, found: Matched | None
    ) -> tuple[list[Float[Tensor, "b _e h w"]], list[Float[Tensor, "b 2 h w"]]]:
        """All that is known of a frame at full resolution, and the copies among it."""
        evidence, copies = [lightness, past.previous, past.error, past.known], [past.previous]
        if self.track is not None:
            evidence += [past.key, past.key_error, past.trust]
            copies.append(past.key)
        if self.matches:
            assert found is not None
            evidence += [*found, past.similarity, past.agreement]
            copies.append(found.ab)
        return evidence, copies

    def _choose(
        self, past: Past, found: Matched | None, shares: list[Float[Tensor, "b _s h w"]]
    ) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"], dict[str, Copy]]:
        """P_t: mix previous frame, keyframe and match; with its lightness error, whether there is any, and of what."""
        carried, error, known = past.previous, past.error, past.known
        mixed = mix_in({}, "previous", carried, torch.ones_like(error))
        learnt = iter(shares)
        if self.track is not None:
            prior = KEYFRAME_LOGIT + KEYFRAME_TRUST * past.trust + PRIOR_SLOPE * (error - past.key_error)
            share = (next(learnt) + prior).sigmoid()
            carried = mix(carried, past.key, share)
            error = mix(error, past.key_error, share)
            mixed = mix_in(mixed, "keyframe", past.key, share)
        if self.matches:
            assert found is not None
            prior = (
                MATCH_LOGIT
                + MATCH_AGREEMENT * found.agreement
                + PRIOR_SLOPE * (around(error, MATCH_WINDOW) - found.error)
            )
            share = (next(learnt) + prior).sigmoid()
            carried = mix(carried, found.ab, share)
            error = mix(error, found.error, share)
            known = mix(known, torch.ones_like(known), share)
            mixed = mix_in(mixed, "matched", found.ab, share)
        return carried, error, known, mixed

    def _copy(self, coarse: Float[Tensor, "b c h4 w4"], references: References) -> Float[Tensor, "b 2 h4 w4"]:
        """Choose between the heads' copies, and within a head between the references and the earlier frame."""
        copies = enlarge_copies(references.copies, coarse.shape[2:])
        if self.choose_recalled is not None and references.recalled is not None:
            recalled, similarity = references.recalled
            closer = resize(similarity - references.similarity, coarse.shape[2:])
            share = (self.choose_recalled(coarse) + RECALL_LOGIT + RECALL_SLOPE * closer).sigmoid()
            copies = mix(copies, enlarge_copies(recalled, coarse.shape[2:]), share[:, :, None])
        weights = self.choose_head(coarse).softmax(dim=1)
        return torch.einsum("bkhw,bkchw->bchw", weights, copies)

    def _follow(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        descriptors: Float[Tensor, "b d h8 w8"] | None,
        state: RecurrentState | None,
    ) -> tuple[Past, Keyframe | None]:
        """Bring the previous frame, the memory and the keyframe to this one."""
        past = Past.unknown(lightness)
        if state is None or not self.use_state:
            b, _, h, w = lightness.shape
            memory = lightness.new_zeros(b, self.memory, h // 4, w // 4) if self.memory else None
            return past._replace(memory=memory), None
        moved: Propagated = self.propagate(
            lightness, state.lightness, state.ab, descriptors, state.descriptors
        )
        past = past._replace(
            previous=moved.ab,
            error=moved.residual.abs(),
            known=torch.ones_like(lightness),
            similarity=moved.similarity,
            agreement=moved.agreement,
        )
        if self.memory:
            assert state.memory is not None
            past = past._replace(memory=carry_features(state.memory, moved.flow))
        key = state.keyframe
        if self.track is None or key is None:
            return past, None
        found: Tracked = self.track(lightness, moved.flow, moved.residual, *key)
        past = past._replace(key=found.ab, key_error=found.residual.abs(), trust=found.trust)
        return past, key._replace(flow=found.flow, trust=found.trust)

    def _features(
        self,
        evidence: list[Float[Tensor, "b _e h w"]],
        memory: Float[Tensor, "b m h4 w4"] | None,
        half: Float[Tensor, "b c2 h2 w2"],
        quarter: Float[Tensor, "b c4 h4 w4"],
        references: References,
    ) -> tuple[Float[Tensor, "b c h2 w2"], Float[Tensor, "b c h4 w4"]]:
        conv, activation = cast(tuple[nn.Conv2d, nn.Module], tuple(self.evidence_half))
        evidence_half = activation(unshuffled_conv(conv, evidence))
        evidence_quarter = self.evidence_quarter(evidence_half)
        if self.align is not None:
            evidence_quarter = self.align(evidence_quarter, self.align_to(quarter))
        seen = [references.features, references.copies.flatten(1, 2), references.similarity]
        if self.choose_recalled is not None:
            recalled = references.recalled or (references.copies, torch.zeros_like(references.similarity))
            seen += [recalled[0].flatten(1, 2), recalled[1]]
        attended = self.attended(torch.cat(seen, dim=1))
        entering = [quarter, evidence_quarter, resize(attended, quarter.shape[2:])]
        x = self.enter(torch.cat(entering if memory is None else [*entering, memory], dim=1))
        x = self.refine_quarter(x + resize(self.up(self.body(self.down(x))), x.shape[2:]))
        fine = torch.cat([resize(self.narrow(x), half.shape[2:]), evidence_half, half], dim=1)
        return self.refine_half(fine), x
