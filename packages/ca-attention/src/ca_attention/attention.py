"""Source-reference attention: every token of a frame looks for its colour in all tokens of all references.

Departures from a textbook cross-attention, and why:

- Queries and keys have unit length and one learnt temperature per head, so a logit is a cosine similarity:
  comparable between films, and a measure of confidence.
- The value carries, besides its own channels, whatever the caller wants *copied* (the references' ab) and, for the
  kernels that need it (`expectation`), the normalised key itself. The attended key times the query is the cosine
  similarity the attention expects, `sum_i A_i cos(q, k_i)`. Unlike a log-sum-exp it does not grow with the number of
  tokens: repeating the references leaves it alone, and a reference that nothing matches hardly moves it.
- Query, key and value are padded with zeros to one width, a multiple of 8. Only then do the fused kernels
  (flash on CPU and GPU, memory-efficient on GPU) take them, and no n x m matrix is ever held (N3).
- Tokens may be masked (a still of which only a part counts). One channel of that padding then holds a bias, 0 or
  `MASKED_LOGIT`, and meets a 1 in the query: the fused kernels need no mask, which would be an n x m matrix again.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ca_attention.expectation import expectation
from ca_attention.tokens import (
    AttendedColor,
    ReferenceTokens,
    check_batch,
    check_beside,
    check_map,
    gather_tokens,
    gather_valid,
)

INITIAL_TEMPERATURE = 10.0
MAX_TEMPERATURE = 100.0
WIDTH_MULTIPLE = 8
NORM_EPS = 1e-6
# Logit of a masked token: other logits lie within +-MAX_TEMPERATURE, so that its weight is exactly 0 in float32.
MASKED_LOGIT = -1024.0


def normalize_tokens(x: Float[Tensor, "*any d"]) -> Float[Tensor, "*any d"]:
    """Bring the last axis to unit length, `x / sqrt(|x|^2 + eps)`, in float32 or better.

    The epsilon stands under the root, so that the gradient stays bounded where a black frame has no feature.

    Example:
        >>> normalize_tokens(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + NORM_EPS)


def padded_width(channels: int) -> int:
    """Round up to the width the fused kernels take.

    Example:
        >>> padded_width(34)
        40
    """
    return math.ceil(channels / WIDTH_MULTIPLE) * WIDTH_MULTIPLE


class SourceReferenceAttention(nn.Module):
    """Attend from a grey frame to the colour references (Eq. 1 as read in N2).

    `out = source + gamma * norm(A v(references))`, `A = softmax(temperature * cos(q, k))` over all tokens of
    all references; gamma is one learnt scalar that starts at 0.

    Args:
        channels: channels of the source features and of the result.
        reference_channels: channels of the reference features (None: `channels`).
        query_channels: channels of the maps that are compared, if those are not the source and reference
            features themselves; `encode` then needs `keys` and `forward` needs `query`, of one feature space,
            and both projections start equal, so that equal features match from the first step.
        heads: number of heads.
        head_channels: channels per head (None: `channels // heads`).

    Raises:
        ValueError: if a count is not positive or `channels` cannot be shared out over the heads.

    Example:
        >>> attention = SourceReferenceAttention(16, heads=2)
        >>> references = [torch.rand(1, 16, 3, 5), torch.rand(1, 16, 7, 2)]
        >>> ab = [torch.rand(1, 2, 3, 5), torch.rand(1, 2, 7, 2)]
        >>> tokens = attention.encode(references, carried=ab)
        >>> out = attention(torch.rand(1, 16, 4, 6), tokens)
        >>> out.features.shape, out.confidence.shape, out.carried.shape
        (torch.Size([1, 16, 4, 6]), torch.Size([1, 1, 4, 6]), torch.Size([1, 2, 2, 4, 6]))
    """

    def __init__(
        self,
        channels: int,
        *,
        reference_channels: int | None = None,
        query_channels: int | None = None,
        heads: int = 4,
        head_channels: int | None = None,
    ) -> None:
        super().__init__()
        if channels < 1 or heads < 1:
            raise ValueError(
                f"channels, heads: expected positive numbers, got {channels} and {heads}; give at least 1"
            )
        if head_channels is None and channels % heads:
            raise ValueError(
                f"channels: expected a multiple of heads={heads}, got {channels}; "
                f"change either, or give head_channels"
            )
        self.channels = channels
        self.reference_channels = reference_channels or channels
        self.query_channels = query_channels
        self.heads = heads
        self.head_channels = head_channels or channels // heads
        inner = heads * self.head_channels
        self.to_query = nn.Linear(query_channels or channels, inner)
        self.to_key = nn.Linear(query_channels or self.reference_channels, inner)
        self.to_value = nn.Linear(self.reference_channels, inner)
        self.to_out = nn.Linear(inner, channels)
        self.norm = nn.LayerNorm(channels)
        self.log_temperature = nn.Parameter(torch.full((heads,), math.log(INITIAL_TEMPERATURE)))
        self.gamma = nn.Parameter(torch.zeros(()))
        # Whether features are mixed at all, beside what is copied; see `leave_out_features`.
        self.mixes = True
        if query_channels is not None:
            self.to_key.load_state_dict(self.to_query.state_dict())

    def encode(
        self,
        references: Sequence[Float[Tensor, "b c _hi _wi"]],
        *,
        keys: Sequence[Float[Tensor, "b q _hi _wi"]] | None = None,
        carried: Sequence[Float[Tensor, "b v _hi _wi"]] | None = None,
        valid: Sequence[Bool[Tensor, "b 1 _hi _wi"] | None] | None = None,
    ) -> ReferenceTokens:
        """Turn the references into one token set; needed once per shot.

        Args:
            references: features of each reference, `b reference_channels hi wi`; number and sizes are free.
            keys: what is compared, `b query_channels hi wi` each; needed if and only if the module has
                `query_channels`.
            carried: what is copied as it is, `b v hi wi` each, any range (say the references' ab).
            valid: where each reference counts; None where it does everywhere. Places that do not count get no
                weight; a sample in which none counts finds nothing: similarity, confidence and copies are 0.

        Returns:
            Keys and values, both padded to one width.

        Raises:
            ValueError: if there is no reference or shapes do not belong together.
        """
        values = gather_tokens("references", references, self.reference_channels)
        if (keys is None) != (self.query_channels is None):
            raise ValueError(
                f"keys: expected {'none' if self.query_channels is None else 'one map per reference'} for a "
                f"module with query_channels={self.query_channels}, got "
                f"{'none' if keys is None else len(keys)}; "
                f"set query_channels at construction to compare separate maps"
            )
        compared = values
        if keys is not None:
            compared = gather_tokens("keys", keys, self.query_channels)
            check_beside("keys", keys, references)
        key = self._split_heads(self.to_key(compared))
        unit_key = normalize_tokens(key).to(key.dtype)
        parts = [self._split_heads(self.to_value(values))] if self.mixes else []
        carried_channels = 0
        if carried is not None:
            copies = gather_tokens("carried", carried)
            check_beside("carried", carried, references)
            carried_channels = copies.shape[-1]
            parts.append(repeat(copies.to(key.dtype), "b m v -> b k m v", k=self.heads))
        value = torch.cat([*parts, unit_key], dim=-1)
        width = padded_width(value.shape[-1])
        counts = gather_valid(valid, references)
        if counts is not None:
            hidden = ~counts[:, None]
            value = value.masked_fill(hidden, 0.0)
            bias = torch.zeros_like(unit_key[..., :1]).masked_fill(hidden, MASKED_LOGIT)
            unit_key = torch.cat([unit_key.masked_fill(hidden, 0.0), bias], dim=-1)
        return ReferenceTokens(
            keys=F.pad(unit_key, (0, width - unit_key.shape[-1])),
            values=F.pad(value, (0, width - value.shape[-1])),
            carried_channels=carried_channels,
            partial=counts is not None,
        )

    def forward(
        self,
        source: Float[Tensor, "b c h w"],
        tokens: ReferenceTokens,
        *,
        query: Float[Tensor, "b q h w"] | None = None,
    ) -> AttendedColor:
        """Bring the references' colour to the places of a frame.

        Args:
            source: features of the frame, `b channels h w`. A batch that is a multiple of the tokens' batch
                means several frames of each clip, frames of one clip next to each other.
            tokens: what `encode` made of the references.
            query: what is compared, `b query_channels h w`; needed if and only if the module has
                `query_channels`.

        Returns:
            Features, confidence in [0, 1], the copies and the similarity in [-1, 1] of each head.

        Raises:
            ValueError: if shapes do not belong together or the tokens are another module's.
        """
        compared = self._check(source, tokens, query)
        h, w = source.shape[-2:]
        clips, d = tokens.keys.shape[0], self.head_channels
        layout = "(b t) c h w -> b (t h w) c"
        projected = self._split_heads(self.to_query(rearrange(compared, layout, b=clips)))
        unit_query = normalize_tokens(projected)
        scaled = (unit_query * self.temperature[:, None, None]).to(projected.dtype)
        channels = d * self.mixes + tokens.carried_channels
        attended, logit = (self._expectation_of_parts if tokens.partial else self._expectation)(
            scaled, tokens, channels
        )
        features = source
        if self.mixes:
            color = self.norm(self.to_out(rearrange(attended[..., :d], "b k n d -> b n (k d)")))
            features = source + self.gamma * rearrange(color, "b (t h w) c -> (b t) c h w", h=h, w=w)
        similarity = rearrange(logit, "b k (t h w) -> (b t) k h w", h=h, w=w)
        similarity = similarity / self.temperature[:, None, None]
        copies = attended[..., d * self.mixes :]
        return AttendedColor(
            features=features,
            confidence=similarity.amax(dim=1, keepdim=True).clamp(0.0, 1.0),
            carried=rearrange(copies, "b k (t h w) v -> (b t) k v h w", h=h, w=w)
            if tokens.carried_channels
            else None,
            similarity=similarity,
            descriptors=rearrange(self._weighed(unit_query), "b k (t h w) d -> (b t) (k d) h w", h=h, w=w),
        )

    def _expectation(
        self, query: Float[Tensor, "b k n d"], tokens: ReferenceTokens, channels: int
    ) -> tuple[Float[Tensor, "b k n v"], Float[Tensor, "b k n"]]:
        return expectation(query, tokens.keys, tokens.values, channels, largest=self._largest)

    def _expectation_of_parts(
        self, query: Float[Tensor, "b k n d"], tokens: ReferenceTokens, channels: int
    ) -> tuple[Float[Tensor, "b k n v"], Float[Tensor, "b k n"]]:
        """Of masked tokens: the query meets their bias with a 1; where all are masked, the expected key is 0."""
        d, width = query.shape[-1], tokens.keys.shape[-1]
        attended = F.scaled_dot_product_attention(
            F.pad(F.pad(query, (0, 1), value=1.0), (0, width - d - 1)),
            tokens.keys.to(query.dtype),
            tokens.values.to(query.dtype),
            scale=1.0,
        )
        precise = torch.promote_types(query.dtype, torch.float32)
        expected_key = attended[..., channels : channels + d].to(precise)
        return attended[..., :channels], (expected_key * query.to(precise)).sum(dim=-1)

    def descriptors(self, query: Float[Tensor, "b q h w"]) -> Float[Tensor, "b k*d h w"]:
        """What all heads compare, as one vector of unit length in each place.

        The product of two of them is the mean cosine similarity of the heads' queries, weighted by temperature: a
        hard match where `forward` mixes softly.

        Args:
            query: what `forward` takes by that name (the source, in a module without `query_channels`).
        """
        units = normalize_tokens(self._split_heads(self.to_query(rearrange(query, "b c h w -> b (h w) c"))))
        return rearrange(self._weighed(units), "b k (h w) d -> b (k d) h w", h=query.shape[-2])

    def _weighed(self, units: Float[Tensor, "b k n d"]) -> Float[Tensor, "b k n d"]:
        """Queries of unit length, each head's by the root of its share in all temperatures."""
        share = (self.temperature / self.temperature.sum()).sqrt()
        return units * share[:, None, None]

    @property
    def _largest(self) -> float | None:
        """Size that no logit exceeds: the temperature, for a cosine does not exceed 1."""
        if torch.compiler.is_compiling() or self.log_temperature.device.type != "cpu":
            return None
        return 1.01 * float(self.temperature.detach().max())

    def leave_out_features(self, below: float = 1e-4) -> bool:
        """For inference: attend without features where gamma has learnt to be nothing; tells whether it has.

        The attended features come out of a LayerNorm, so that gamma is their size beside the source's. Encode the
        references again: their tokens no longer hold the features' values.

        Args:
            below: the gamma that counts as nothing.
        """
        self.mixes = float(self.gamma.detach().abs()) >= below
        return not self.mixes

    @torch.no_grad()
    def recall(
        self,
        target: Float[Tensor, "b k*d h w"],
        moving: Float[Tensor, "b k*d h2 w2"],
        carried: Float[Tensor, "b v h2 w2"],
    ) -> tuple[Float[Tensor, "b k v h w"], Float[Tensor, "b k h w"]]:
        """Copy from a grey frame that was coloured before, found by `descriptors` alone; nothing is learnt by it.

        Both frames are looked at with the same eyes (the queries'), and no features are mixed, only what is carried.

        Args:
            target: `descriptors` of a frame.
            moving: `descriptors` of the frame that is copied from.
            carried: what is copied, in the places of `moving`.

        Returns:
            The copies and the similarity in [-1, 1] of each head.
        """
        tokens = "b (k d) h w -> b k (h w) d"
        query, key = (rearrange(x, tokens, k=self.heads) for x in (target, moving))
        copied = repeat(carried.to(key.dtype), "b v h w -> b k (h w) v", k=self.heads)
        value = torch.cat([copied, key], dim=-1)
        d, width = self.head_channels, padded_width(value.shape[-1])
        # The descriptors of a head have the length of the root of its share in all temperatures.
        total = self.temperature.sum().to(query.dtype)
        copies, logit = expectation(
            query * total,
            F.pad(key, (0, width - d)),
            F.pad(value, (0, width - value.shape[-1])),
            carried.shape[1],
            largest=self._largest,
        )
        similarity = logit / self.temperature[:, None]
        h, w = target.shape[-2:]
        copies = rearrange(copies, "b k (h w) v -> b k v h w", h=h)
        return copies, rearrange(similarity, "b k (h w) -> b k h w", w=w)

    @property
    def temperature(self) -> Float[Tensor, " k"]:
        """The factor on the cosine similarity of each head, at most 100."""
        return self.log_temperature.clamp(max=math.log(MAX_TEMPERATURE)).exp()

    def _split_heads(self, x: Float[Tensor, "b n kd"]) -> Float[Tensor, "b k n d"]:
        return rearrange(x, "b n (k d) -> b k n d", k=self.heads)

    def _check(
        self,
        source: Float[Tensor, "b c h w"],
        tokens: ReferenceTokens,
        query: Float[Tensor, "b q h w"] | None,
    ) -> Float[Tensor, "b q h w"]:
        check_map("source", source, self.channels)
        check_batch(source, tokens)
        width = padded_width((1 + self.mixes) * self.head_channels + tokens.carried_channels)
        expected = (self.heads, width)
        got = (tokens.keys.shape[1], tokens.keys.shape[3])
        if got != expected:
            raise ValueError(
                f"tokens: expected (heads, width) {expected}, got {got}; "
                f"encode the references with this module"
            )
        if (query is None) != (self.query_channels is None):
            raise ValueError(
                f"query: expected {'none' if self.query_channels is None else 'a map'} for a module with "
                f"query_channels={self.query_channels}, got "
                f"{'none' if query is None else tuple(query.shape)}; "
                f"set query_channels at construction to compare separate maps"
            )
        if query is None or self.query_channels is None:
            return source
        check_map("query", query, self.query_channels)
        if (query.shape[0], *query.shape[2:]) != (source.shape[0], *source.shape[2:]):
            raise ValueError(
                f"query: expected batch, height and width of source {tuple(source.shape)}, got "
                f"{tuple(query.shape)}; resize it to the source"
            )
        return query
