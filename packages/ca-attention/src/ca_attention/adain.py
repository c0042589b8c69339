"""Adaptive instance normalisation behind the call of the attention: colour as two statistics, no matching."""

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from ca_attention.tokens import (
    AttendedColor,
    ReferenceTokens,
    check_batch,
    check_beside,
    check_map,
    gather_tokens,
)

VARIANCE_EPS = 1e-5


class AdaptiveInstanceNorm(nn.Module):
    """Give the source the channel statistics of the references (ablation 4, in place of Eq. 1).

    `out = source + gamma * (std_r * (source - mean_s) / std_s + mean_r)`, with mean and std of
    `v(references)` over all tokens of all references and of the source over its own pixels; gamma is one
    learnt scalar that starts at 0.

    Args:
        channels: channels of the source features and of the result.
        reference_channels: channels of the reference features (None: `channels`).
        heads: how many times the carried channels are repeated, so that what follows sees the same shapes.

    Raises:
        ValueError: if a count is not positive.

    Example:
        >>> adain = AdaptiveInstanceNorm(16, heads=2)
        >>> tokens = adain.encode([torch.rand(1, 16, 3, 5)], carried=[torch.rand(1, 2, 3, 5)])
        >>> out = adain(torch.rand(1, 16, 4, 6), tokens)
        >>> out.features.shape, out.carried.shape, out.confidence.max().item()
        (torch.Size([1, 16, 4, 6]), torch.Size([1, 2, 2, 4, 6]), 0.0)
    """

    def __init__(self, channels: int, *, reference_channels: int | None = None, heads: int = 4) -> None:
        super().__init__()
        if channels < 1 or heads < 1:
            raise ValueError(
                f"channels, heads: expected positive numbers, got {channels} and {heads}; give at least 1"
            )
        self.channels = channels
        self.reference_channels = reference_channels or channels
        self.heads = heads
        self.to_value = nn.Linear(self.reference_channels, channels)
        self.gamma = nn.Parameter(torch.zeros(()))

    def encode(
        self,
        references: Sequence[Float[Tensor, "b c _hi _wi"]],
        *,
        keys: Sequence[Float[Tensor, "b q _hi _wi"]] | None = None,  # noqa: ARG002 - the attention's call
        carried: Sequence[Float[Tensor, "b v _hi _wi"]] | None = None,
    ) -> ReferenceTokens:
        """Reduce the references to one token; needed once per shot.

        Args:
            references: features of each reference, `b reference_channels hi wi`; number and sizes are free.
            keys: not used: nothing is compared.
            carried: what is passed on as its mean over all tokens, `b v hi wi` each.

        Returns:
            One token: the key holds the spread of each channel, the value its mean and the carried mean.

        Raises:
            ValueError: if there is no reference or shapes do not belong together.
        """
        values = self.to_value(gather_tokens("references", references, self.reference_channels))
        spread, mean = _spread_and_mean(values, dim=1)
        parts, carried_channels = [mean], 0
        if carried is not None:
            copies = gather_tokens("carried", carried)
            check_beside("carried", carried, references)
            carried_channels = copies.shape[-1]
            parts.append(copies.to(mean.dtype).mean(dim=1, keepdim=True))
        return ReferenceTokens(
            keys=rearrange(spread, "b m c -> b 1 m c"),
            values=rearrange(torch.cat(parts, dim=-1), "b m c -> b 1 m c"),
            carried_channels=carried_channels,
        )

    def forward(
        self,
        source: Float[Tensor, "b c h w"],
        tokens: ReferenceTokens,
        *,
        query: Float[Tensor, "b q h w"] | None = None,  # noqa: ARG002 - the attention's call
    ) -> AttendedColor:
        """Bring the references' channel statistics to a frame.

        Args:
            source: features of the frame, `b channels h w`. A batch that is a multiple of the tokens' batch
                means several frames of each clip, frames of one clip next to each other.
            tokens: what `encode` made of the references.
            query: not used: nothing is compared.

        Returns:
            Features; confidence and similarity 0; the carried mean at every place, once per head.

        Raises:
            ValueError: if shapes do not belong together or the tokens are another module's.
        """
        check_map("source", source, self.channels)
        check_batch(source, tokens)
        expected = (1, 1, self.channels)
        if tuple(tokens.keys.shape[1:]) != expected:
            raise ValueError(
                f"tokens: expected keys of shape (b, {', '.join(map(str, expected))}), got "
                f"{tuple(tokens.keys.shape)}; encode the references with this module"
            )
        b, _, h, w = source.shape
        frames = b // tokens.keys.shape[0]
        place = "b 1 1 c -> (b t) c 1 1"
        spread = repeat(tokens.keys, place, t=frames)
        mean, copies = tokens.values.split([self.channels, tokens.carried_channels], dim=-1)
        source_spread, source_mean = _spread_and_mean(source, dim=(2, 3))
        color = spread * (source - source_mean) / source_spread + repeat(mean, place, t=frames)
        carried = repeat(copies, "b 1 1 v -> (b t) k v h w", t=frames, k=self.heads, h=h, w=w)
        nothing = color.new_zeros(b, self.heads, h, w)
        return AttendedColor(
            features=source + self.gamma * color,
            confidence=nothing[:, :1],
            carried=carried if tokens.carried_channels else None,
            similarity=nothing,
        )


def _spread_and_mean(
    x: Float[Tensor, "*any"], dim: int | tuple[int, ...]
) -> tuple[Float[Tensor, "*reduced"], Float[Tensor, "*reduced"]]:
    """Standard deviation (never 0) and mean, in float32 or better: bfloat16 has no digits for a variance."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(x, dim=dim, keepdim=True, correction=0)
    return (variance + VARIANCE_EPS).sqrt(), mean
