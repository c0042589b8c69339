"""ColorAlignNet composed of its three packages.

Departures from the paper (docs/architecture.md has the reasons and the measurements):

- `copying=False`: E1 also hands its features at H/2 to the decoder, which the paper does not draw; widths, depths,
  heads and windows are ours (N10).
- `copying=True` (`base`, `tiny`): matching happens at H/8 between lightness features of one shared encoder; the
  attention carries the references' ab; the previous frame's ab is carried along the motion at full resolution; the
  decoder mixes both copies and corrects them. There is no FlexAlign over later frames.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from ca_align import (
    Atlas,
    DeformAlign,
    FlexAlign,
    FlowPropagation,
    KeyframeTracking,
    Matched,
    ReferenceMatching,
    StillPropagation,
    carry_features,
)
from ca_attention import AdaptiveInstanceNorm, AttendedColor, ReferenceTokens, SourceReferenceAttention
from ca_swin import (
    ColorDecoder,
    CopyReconstruction,
    Keyframe,
    Recollection,
    RecurrentReconstruction,
    RecurrentState,
    References,
    SoftMaskFusion,
    StateEncoder,
    SwinReconstruction,
    UNetReconstruction,
)
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ca_model.config import ColorAlignConfig
from ca_model.encoder import PyramidEncoder
from ca_model.errors import ModelError
from ca_model.semantic import SemanticEncoder

STRIDE = 16


class ColorOutput(NamedTuple):
    """Colour of a clip.

    Attributes:
        ab: ab/110 of each frame.
        confidence: in [0, 1]; low where the references do not cover the picture.
        auxiliary: copies a loss may supervise (`copy_*`, "b t 2 h w"); empty for the paper's network.
        state: what the next frame needs to know about these; give it back to go on, as if never stopped.
    """

    ab: Float[Tensor, "b t 2 h w"]
    confidence: Float[Tensor, "b t 1 h w"]
    auxiliary: dict[str, Tensor]
    state: RecurrentState


class Given(NamedTuple):
    """Frames of a clip whose colours are known beforehand, say a reference that belongs to the film itself.

    Attributes:
        ab: normalized Lab; read where `mask` is true only.
        mask: which frames of which sample are known.
    """

    ab: Float[Tensor, "b t 2 h w"]
    mask: Bool[Tensor, "b t"]


class EncodedReferences(NamedTuple):
    """References as a network looks at them, made once per shot.

    Attributes:
        tokens: for the attention.
        atlas: for the matching; None in a network that does not match.
    """

    tokens: ReferenceTokens
    atlas: Atlas | None


class _Frame(NamedTuple):
    """A frame before reconstruction, its height and width multiples of 16."""

    lightness: Tensor
    maps: list[Tensor]
    attended: AttendedColor
    descriptors: Tensor | None
    matched: Matched | None


class ColorAlignNet(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="coloralign",
    license="apache-2.0",
    tags=["video-colorization"],
    coders={ColorAlignConfig: (asdict, ColorAlignConfig.from_dict)},
):
    """Colourise grey video from colour references: ColorPrep, FlexAlign and ReFrameNet (Fig. 1).

    Args:
        config: what to build; see `preset`.

    Example:
        >>> from ca_model import create_model
        >>> model = create_model("tiny").eval()
        >>> output = model(torch.zeros(1, 2, 1, 37, 53), torch.zeros(1, 1, 3, 41, 29))
        >>> output.ab.shape
        torch.Size([1, 2, 2, 37, 53])
    """

    def __init__(self, config: ColorAlignConfig) -> None:
        super().__init__()
        self.config = config
        matched = config.widths[2] if config.copying else config.widths[3]
        self.encoder = PyramidEncoder(1, config.widths)
        self.reference_encoder = PyramidEncoder(3, config.widths[: 3 if config.copying else 4])
        if config.copying:
            self.context = nn.Conv2d(config.widths[3], matched, 1)
            # Centred channels: after a rectifier all cosines would start near 1.
            self.center = nn.LayerNorm(matched)
        self.semantic = SemanticEncoder() if config.copying and config.semantic else None
        compared = matched
        if self.semantic is not None:
            compared += self.semantic.channels
            self.meaning = nn.Conv2d(self.semantic.channels, matched, 1)
        if config.color_transfer == "attention":
            self.transfer: SourceReferenceAttention | AdaptiveInstanceNorm = SourceReferenceAttention(
                matched,
                query_channels=compared if config.copying else None,
                heads=config.heads,
                head_channels=config.head_channels,
            )
        else:
            self.transfer = AdaptiveInstanceNorm(matched, heads=config.heads)
        self.matching = ReferenceMatching() if config.matches else None
        self.alignment = None if config.copying else _flex_align(config)
        self.reconstruction = (_copying if config.copying else _recurrent)(config)

    def encode_references(
        self, references: Float[Tensor, "b m 3 h w"] | Sequence[Float[Tensor, "b 3 _h _w"]]
    ) -> EncodedReferences:
        """Turn references into what every frame is compared with; needed once per shot.

        Args:
            references: normalized Lab stills, any number from 1, each of any size.

        Raises:
            ModelError: if there is none or one is not `b 3 h w`.
        """
        stills = list(references.unbind(1)) if isinstance(references, Tensor) else list(references)
        if not stills:
            raise ModelError("references: expected at least one colour still, got none")
        for index, still in enumerate(stills):
            if still.ndim != 4 or still.shape[1] != 3:
                raise ModelError(
                    f"references[{index}]: expected (b, 3, h, w) normalized Lab, got {tuple(still.shape)}"
                )
        padded = [_pad(still) for still in stills]
        if not self.config.copying:
            colors = [self.reference_encoder(still)[-1] for still in padded]
            return EncodedReferences(self.transfer.encode(colors), None)
        seen = padded + [_pad(_zoomed(still, zoom)) for zoom in self.config.zooms for still in stills]

        def thin(maps: list[Tensor]) -> list[Tensor]:
            return maps[: len(stills)] + [_every_second(one) for one in maps[len(stills) :]]

        colors = thin([self.reference_encoder(still)[-1] for still in seen])
        carried = thin([F.avg_pool2d(still[:, 1:], 8) for still in seen])
        if self.config.color_transfer == "adain":
            return EncodedReferences(self.transfer.encode(colors, carried=carried), None)
        keys = [self._matched(still[:, :1], self.encoder(still[:, :1]))[1] for still in seen]
        atlas = None
        if self.config.matches:
            with torch.no_grad():
                found = [self.transfer.descriptors(key.detach()) for key in keys[: len(stills)]]  # type: ignore[operator]
            atlas = Atlas.of(
                [(still[:, :1], still[:, 1:], one) for still, one in zip(padded, found, strict=True)]
            )
        return EncodedReferences(self.transfer.encode(colors, keys=thin(keys), carried=carried), atlas)

    def forward(
        self,
        lightness: Float[Tensor, "b t 1 h w"],
        references: Float[Tensor, "b m 3 h2 w2"] | Sequence[Float[Tensor, "b 3 _h _w"]],
        *,
        given: Given | None = None,
        state: RecurrentState | None = None,
    ) -> ColorOutput:
        """Colourise a clip.

        Args:
            lightness: L/50 - 1 of each frame, any height and width.
            references: normalized Lab stills, any number from 1 and of any size.
            given: frames whose colours are known: they come out so, and later frames build on them.
            state: of the output before, to go on from there. The first `neighbors` frames are then those before
                this part of the clip once more: the alignment looks at them, and they do not come out again.

        Raises:
            ModelError: if shapes do not fit.
        """
        if lightness.ndim != 5 or lightness.shape[2] != 1 or lightness.numel() == 0:
            raise ModelError(f"lightness: expected (b, t, 1, h, w), got {tuple(lightness.shape)}")
        seen = 0 if state is None else self.config.neighbors
        if lightness.shape[1] <= seen:
            raise ModelError(
                f"lightness: expected the {seen} frames before and at least one new one, got {lightness.shape[1]}"
            )
        b, t, _, h, w = lightness.shape
        frame = self._encode(
            rearrange(lightness, "b t 1 h w -> (b t) 1 h w"), self.encode_references(references)
        )
        frames = [_at(frame, b, t, index) for index in range(t)]
        aligned: list[Tensor | None] = [None] * t
        if self.alignment is not None:
            features = rearrange(frame.attended.features, "(b t) c h w -> b t c h w", t=t)
            aligned = list(self.alignment(features).unbind(1))
        outputs = []
        for index, one in list(enumerate(frames))[seen:]:
            known = None if given is None else (given.ab[:, index], given.mask[:, index])
            output = self._reconstruct(one, aligned[index], state, known, (h, w))
            state = output.state
            outputs.append(output)
        return _join(outputs)

    def stream(
        self,
        frames: Iterable[Float[Tensor, "b 1 h w"]],
        references: EncodedReferences,
        *,
        given: Mapping[int, Float[Tensor, "b 2 h w"]] | None = None,
        state: RecurrentState | None = None,
    ) -> Iterator[ColorOutput]:
        """Colourise a shot frame by frame, in memory that does not grow with its length.

        Gives what `forward` gives, one frame (t = 1) at a time; a frame comes out once `neighbors` later ones are in.

        Args:
            frames: L/50 - 1 of one frame after another, all of one size.
            references: what `encode_references` made.
            given: known colours by frame number, counted from 0.
            state: of an output before, to go on from there; `frames` then begins with the `neighbors` frames before
                the first new one, as in `forward`.
        """
        k = self.config.neighbors
        window: deque[_Frame] = deque(maxlen=2 * k + 1)
        resumes = state is not None
        done, size = k if resumes else 0, (0, 0)

        def finish() -> ColorOutput:
            nonlocal state, done
            middle, aligned = window[-1 - k], None
            if self.alignment is not None:
                around = torch.stack([one.attended.features for one in window], dim=1)
                aligned = self.alignment.align(around)
            ab = None if given is None else given.get(done)
            known = None if ab is None else (ab, torch.ones(len(ab), dtype=torch.bool, device=ab.device))
            output = self._reconstruct(middle, aligned, state, known, size)
            state = output.state
            done += 1
            return output

        count = 0
        for lightness in frames:
            size = (lightness.shape[-2], lightness.shape[-1])
            frame = self._encode(lightness, references)
            # Before the first frame the window holds copies of it, after the last copies of the last (N4).
            window.extend([frame] * (k + 1) if count == 0 and not resumes else [frame])
            count += 1
            if len(window) == 2 * k + 1:
                yield finish()
        while done < count:
            # A clip shorter than the lookahead has not filled its window yet.
            window.append(window[-1])
            if len(window) == 2 * k + 1:
                yield finish()

    def _matched(self, lightness: Tensor, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Features of a grey picture at H/8 in a copying network, and what is compared of them."""
        context = F.interpolate(self.context(maps[3]), scale_factor=2, mode="bilinear", align_corners=False)
        x, meaning = maps[2] + context, []
        if self.semantic is not None:
            meaning = [self.semantic(lightness)]
            x = x + self.meaning(meaning[0])
        x = rearrange(self.center(rearrange(x, "b c h w -> b h w c")), "b h w c -> b c h w")
        return x, torch.cat([x, *meaning], dim=1)

    def _encode(self, lightness: Tensor, references: EncodedReferences) -> _Frame:
        lightness = _pad(lightness)
        maps = self.encoder(lightness)
        descriptors, matched = None, None
        source, compared = self._matched(lightness, maps) if self.config.copying else (maps[3], maps[3])
        if self.config.copying and self.config.color_transfer == "attention":
            attended = self.transfer(source, references.tokens, query=compared)
        else:
            attended = self.transfer(source, references.tokens)
        if self.config.matches or self.config.recalls:
            with torch.no_grad():
                descriptors = self.transfer.descriptors(compared.detach())  # type: ignore[operator]
        if references.atlas is not None:
            assert self.matching is not None
            atlas = references.atlas.repeat(len(lightness) // len(references.atlas.lightness))
            matched = self.matching(lightness, descriptors, atlas)
        noise = self.config.feature_noise
        if self.training and noise > 0:
            features = attended.features
            attended = attended._replace(
                features=features + noise * features.detach().std() * torch.randn_like(features)
            )
        return _Frame(lightness, maps, attended, descriptors, matched)

    def _reconstruct(
        self,
        frame: _Frame,
        aligned: Tensor | None,
        state: RecurrentState | None,
        known: tuple[Tensor, Tensor] | None,
        size: tuple[int, int],
    ) -> ColorOutput:
        auxiliary: dict[str, Tensor] = {}
        recollection = None if state is None else state.recollection
        if isinstance(self.reconstruction, CopyReconstruction):
            found, (half, quarter) = frame.attended, frame.maps[:2]
            assert found.carried is not None  # a copying network always has something carried
            recalled = None
            if recollection is not None:
                assert frame.descriptors is not None
                recalled = self.transfer.recall(  # type: ignore[operator]
                    frame.descriptors, recollection.descriptors, recollection.ab
                )
            references = References(
                found.features, found.carried, found.similarity, frame.matched, frame.descriptors, recalled
            )
            result, state = self.reconstruction.step(half, quarter, frame.lightness, references, state)
            shown, auxiliary = result.ab, {"copy_attended": _crop(result.attended, size)[:, None]}
        else:
            assert aligned is not None
            shown, state = self.reconstruction.step(aligned, frame.maps[0], frame.lightness, state)
        ab, keyframe = state.ab, state.keyframe
        if known is not None:
            is_known, colors = known[1][:, None, None, None], _pad(known[0]).to(ab.dtype)
            ab, shown = torch.where(is_known, colors, ab), torch.where(is_known, colors, shown)
            if keyframe is not None:
                keyframe = Keyframe.at(frame.lightness, ab).where(known[1], keyframe)
        if self.config.recalls:
            assert frame.descriptors is not None
            mask = None if known is None else known[1]
            recollection = _recollect(recollection, frame.descriptors, ab, mask, self.config.recall)
        confidence = F.interpolate(
            frame.attended.confidence,
            size=tuple(frame.lightness.shape[-2:]),
            mode="bilinear",
            align_corners=False,
        )
        return ColorOutput(
            _crop(shown, size)[:, None],
            _crop(confidence, size)[:, None],
            auxiliary,
            state._replace(lightness=frame.lightness, ab=ab, keyframe=keyframe, recollection=recollection),
        )


def _recollect(
    earlier: Recollection | None, descriptors: Tensor, ab: Tensor, known: Tensor | None, longest: int
) -> Recollection:
    """What the next frame may look at: this frame if its colors are known or the earlier one is too old."""
    now = Recollection(descriptors, F.avg_pool2d(ab.detach(), 8), torch.zeros(len(ab), device=ab.device))
    if earlier is None:
        return now
    chosen = earlier.age + 1 >= longest
    return earlier.older(now, chosen if known is None else chosen | known)


def _flex_align(config: ColorAlignConfig) -> FlexAlign:
    return FlexAlign(
        config.widths[3],
        out_channels=config.width,
        neighbors=config.neighbors,
        offset_groups=config.offset_groups,
        modulated=config.modulated,
        prior=config.temporal_prior,
        alignment=config.alignment,
    )


def _body(config: ColorAlignConfig, channels: int) -> nn.Module:
    if config.reconstruction == "unet":
        return UNetReconstruction(channels)
    return SwinReconstruction(
        channels, depth=config.body_depth, heads=config.body_heads, window=config.window
    )


def _recurrent(config: ColorAlignConfig) -> RecurrentReconstruction:
    return RecurrentReconstruction(
        DeformAlign(config.width, offset_groups=config.offset_groups, modulated=config.modulated),
        _body(config, config.width),
        StateEncoder(config.width),
        SoftMaskFusion(config.width),
        ColorDecoder(config.width, config.widths[0]),
    )


def _copying(config: ColorAlignConfig) -> CopyReconstruction:
    follows = config.alignment == "flow"
    return CopyReconstruction(
        FlowPropagation() if follows else StillPropagation(),
        _body(config, config.body_width),
        align=None if follows else DeformAlign(config.width, offset_groups=config.offset_groups),
        track=KeyframeTracking() if follows and config.keyframe else None,
        matching=config.matches,
        carry=carry_features,
        memory=config.memory,
        recall=config.recalls,
        review=config.review,
        smooth=config.smooth,
        half=config.widths[0],
        quarter=config.widths[1],
        attended=config.widths[2],
        heads=config.heads,
        width=config.width,
        body_width=config.body_width,
        use_state=config.temporal_prior,
    )


def _pad(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Replicate the last row and column up to multiples of 16."""
    h, w = x.shape[-2:]
    right, bottom = -w % STRIDE, -h % STRIDE
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if right or bottom else x


def _zoomed(still: Float[Tensor, "b c h w"], zoom: float) -> Float[Tensor, "b c h2 w2"]:
    """Make a still larger or smaller: what it shows may be nearer or farther in the film."""
    size = [max(1, round(zoom * side)) for side in still.shape[-2:]]
    return F.interpolate(still, size=size, mode="bilinear", align_corners=False, antialias=True)


def _every_second(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 n"]:
    """Half of the places, as the black squares of a chessboard; order and place mean nothing to an attention."""
    h, w = x.shape[-2:]
    black = (torch.arange(h, device=x.device)[:, None] + torch.arange(w, device=x.device)) % 2 == 0
    return x[:, :, black][:, :, None]


def _crop(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x[..., : size[0], : size[1]]


def _at(frame: _Frame, b: int, t: int, index: int) -> _Frame:
    """Frame `index` of every clip of a batch of frames."""

    def pick(x: Tensor) -> Tensor:
        return x.view(b, t, *x.shape[1:])[:, index]

    def pick_all(parts: Iterable[Tensor | None]) -> Iterator[Tensor | None]:
        return (None if part is None else pick(part) for part in parts)

    return _Frame(
        pick(frame.lightness),
        [pick(x) for x in frame.maps],
        AttendedColor(*pick_all(frame.attended)),  # type: ignore[arg-type]
        None if frame.descriptors is None else pick(frame.descriptors),
        None if frame.matched is None else Matched(*pick_all(frame.matched)),  # type: ignore[arg-type]
    )


def _join(outputs: list[ColorOutput]) -> ColorOutput:
    auxiliary = {
        name: torch.cat([one.auxiliary[name] for one in outputs], dim=1) for name in outputs[0].auxiliary
    }
    return ColorOutput(
        torch.cat([one.ab for one in outputs], dim=1),
        torch.cat([one.confidence for one in outputs], dim=1),
        auxiliary,
        outputs[-1].state,
    )
