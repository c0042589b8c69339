"""The recurrence: each frame is reconstructed with the colour of the one before it."""

from jaxtyping import Float
from torch import Tensor, nn


class RecurrentReconstruction(nn.Module):
    """Reconstruct frame after frame, each with the previous output as a time prior (Eq. 6, 7; N8-N11).

    `prior = align(encoder(L_{t-1}, ab_{t-1}), F_t)`, `d_t = fusion(F_t, prior)`,
    `ab_t = decoder(body(d_t), skip_t, L_t)`. The first frame has no prior: `d_1 = F_1`.

    Args:
        align: `(state "b c h w", target "b c h w") -> "b c h w"`, brings the encoded state to the current
            frame (the deformable convolution D of Eq. 6).
        body: `"b c h w" -> "b c h w"`, `SwinReconstruction` or `UNetReconstruction`.
        encoder: a `StateEncoder` of the same channels, or a module with its call.
        fusion: a `SoftMaskFusion` of the same channels, or a module with its call.
        decoder: a `ColorDecoder` of the same channels, or a module with its call.

    Example:
        >>> from ca_swin import ColorDecoder, SoftMaskFusion, StateEncoder, SwinReconstruction
        >>> class NoMotion(nn.Module):
        ...     def forward(self, state, target):
        ...         return state
        >>> net = RecurrentReconstruction(
        ...     NoMotion(),
        ...     SwinReconstruction(8, depth=2, heads=2, window=4),
        ...     StateEncoder(8),
        ...     SoftMaskFusion(8),
        ...     ColorDecoder(8, skip_channels=4),
        ... )
        >>> import torch
        >>> features, skip, lightness = torch.rand(1, 8, 4, 6), torch.rand(1, 4, 8, 12), torch.rand(1, 1, 16, 24)
        >>> ab = net.step(features, skip, lightness)
        >>> net.step(features, skip, lightness, previous=(lightness, ab)).shape
        torch.Size([1, 2, 16, 24])
    """

    def __init__(
        self, align: nn.Module, body: nn.Module, encoder: nn.Module, fusion: nn.Module, decoder: nn.Module
    ) -> None:
        super().__init__()
        self.align = align
        self.body = body
        self.encoder = encoder
        self.fusion = fusion
        self.decoder = decoder

    def step(
        self,
        features: Float[Tensor, "b c h4 w4"],
        skip: Float[Tensor, "b s h2 w2"],
        lightness: Float[Tensor, "b 1 h w"],
        previous: tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]] | None = None,
    ) -> Float[Tensor, "b 2 h w"]:
        """Reconstruct one frame.

        Args:
            features: the aligned features F^f of the frame, `b c h/4 w/4`.
            skip: the encoder's features at H/2, `b s h/2 w/2`.
            lightness: L/50 - 1, in [-1, 1], `b 1 h w`.
            previous: s_{t-1}, lightness and ab of the frame before (N8); None at the start of a shot.

        Returns:
            ab/110 of the frame, in (-1, 1).

        Raises:
            ValueError: if the previous frame is that of a film of another size, or shapes do not belong together.
        """
        prior = None
        if previous is not None:
            if previous[0].shape != lightness.shape:
                raise ValueError(
                    f"previous: expected a frame of shape {tuple(lightness.shape)}, got "
                    f"{tuple(previous[0].shape)}; start a new shot with previous=None"
                )
            prior = self.align(self.encoder(*previous), features)
        fused, _ = self.fusion(features, prior)
        return self.decoder(self.body(fused), skip, lightness)
