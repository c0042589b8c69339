"""Mixing the current frame with the aligned previous one, place by place."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.shapes import check_map, check_positive, check_size


class SoftMaskFusion(nn.Module):
    """Weigh the current frame against the time prior (Eq. 6; Eq. 7 as read in N9).

    `M = sigmoid(conv([current, prior]))`, `d = M * current + (1 - M) * prior`; M is one number per place,
    and 1 where there is no prior (N11).

    Args:
        channels: channels of both inputs and of the result.

    Raises:
        ValueError: if `channels` is not positive.

    Example:
        >>> fusion = SoftMaskFusion(8)
        >>> current = torch.rand(1, 8, 5, 7)
        >>> fused, mask = fusion(current, torch.rand(1, 8, 5, 7))
        >>> mask.shape
        torch.Size([1, 1, 5, 7])
        >>> fused, mask = fusion(current, None)
        >>> torch.equal(fused, current), mask.min().item()
        (True, 1.0)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_positive(channels=channels)
        self.channels = channels
        hidden = max(channels // 2, 1)
        self.to_logit = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, kernel_size=3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, 1, kernel_size=3, padding=1),
        )

    def forward(
        self,
        current: Float[Tensor, "b c h w"],
        prior: Float[Tensor, "b c h w"] | None,
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
        """Mix both.

        Args:
            current: features of the current frame, `b channels h w`.
            prior: features of the previous output, aligned to the current frame, of the same shape; None if there is
                no previous frame.

        Returns:
            The mixed features, and the mask in [0, 1]: 1 takes the current frame alone.

        Raises:
            ValueError: if shapes do not belong together.
        """
        check_map("current", current, self.channels)
        if prior is None:
            return current, torch.ones_like(current[:, :1])
        check_map("prior", prior, self.channels)
        check_size("prior", prior, current.shape[0], current.shape[2:], why="those of current")
        mask = self.to_logit(torch.cat([current, prior], dim=1)).sigmoid()
        return mask * current + (1 - mask) * prior, mask
