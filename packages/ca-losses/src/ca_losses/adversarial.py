"""Adversarial losses and the patch discriminator they are computed with."""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def discriminator_loss(
    real_logits: Float[Tensor, "b 1 h w"], fake_logits: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Loss of the discriminator (Eq. 11, N12).

    `L_disc = -(E[log P(x)] + E[log(1 - P(s))])` with `P = sigmoid(logits)`, means over patches; natural
    logarithm, computed as softplus, which no certainty makes infinite.

    Args:
        real_logits: the discriminator's answer to true frames.
        fake_logits: its answer to predicted frames, detached from the generator.

    Returns:
        Scalar; 2 log 2 = 1.386 for an undecided discriminator.

    Example:
        >>> import torch
        >>> round(discriminator_loss(torch.zeros(1, 1, 3, 5), torch.zeros(1, 1, 3, 5)).item(), 4)
        1.3863
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    """Loss of the generator: the non-saturating form of Eq. 11 (N12; Goodfellow et al. 2014).

    `L_gen = -E[log P(s)]`. Eq. 11 itself has no gradient left where the discriminator is sure, as it is in
    the beginning.

    Args:
        fake_logits: the discriminator's answer to predicted frames.

    Returns:
        Scalar; log 2 = 0.693 for an undecided discriminator.

    Example:
        >>> import torch
        >>> round(generator_loss(torch.zeros(1, 1, 3, 5)).item(), 4)
        0.6931
    """
    return F.softplus(-fake_logits).mean()


class PatchDiscriminator(nn.Module):
    """Tells true from predicted Lab frames, patch by patch (N12; Isola et al. 2017).

    It sees lightness together with ab, so it can judge whether the colours suit the frame. Spectral
    normalisation (Miyato et al. 2018) and not instance normalisation: the latter subtracts each channel's
    mean over the frame, and with it the cast and saturation that a judge of colour has to see; and it depends
    on no other frame of the batch or rank.

    Args:
        in_channels: 3 for normalized Lab (lightness, a, b).
        channels: width of the first layer; doubles with each further one, up to eight times.
        layers: convolutions of stride 2; 3 of them see patches of 70 x 70 pixels.

    Raises:
        ValueError: an argument is below 1, or the frames are too small or of other channels.

    Example:
        >>> import torch
        >>> PatchDiscriminator(channels=8)(torch.zeros(2, 3, 64, 96)).shape
        torch.Size([2, 1, 6, 10])
    """

    def __init__(self, in_channels: int = 3, *, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("channels", channels), ("layers", layers)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self._in_channels, self._smallest = in_channels, 3 * 2**layers
        widths = [in_channels] + [channels * min(2**i, 8) for i in range(layers + 1)]
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if i < layers else 1
            blocks += [spectral_norm(nn.Conv2d(before, after, 4, stride, 1)), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*blocks, spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1)))

    def forward(self, frames: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h' w'"]:
        """Judge frames.

        Args:
            frames: normalized Lab, lightness and ab on the channel axis; at least 24 x 24 with 3 layers.

        Returns:
            Logits per patch, positive for true; h/8 - 2 by w/8 - 2 with 3 layers.

        Raises:
            ValueError: the frames are too small or have other channels.
        """
        if (
            frames.ndim != 4
            or frames.shape[1] != self._in_channels
            or min(frames.shape[-2:]) < self._smallest
        ):
            raise ValueError(
                f'frames: expected "b {self._in_channels} h w" of at least {self._smallest} x '
                f"{self._smallest} pixels, got {tuple(frames.shape)}; join lightness and ab on axis 1, "
                "flatten time into the batch"
            )
        logits: Tensor = self.body(frames)
        return logits
