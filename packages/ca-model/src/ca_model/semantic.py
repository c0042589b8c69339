"""What things are, by a network that was taught to name them: grass is found on grass, whatever its grey."""

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

TRUNK = "tf_efficientnet_lite0"
# Groups of blocks of the trunk whose output is taken, and its channels; the first lies at H/8, the others at H/16.
STAGES = {2: 40, 3: 80, 4: 112}


class SemanticEncoder(nn.Module):
    """Features of an image classifier at H/8: EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet, kept as it is.

    It sees the lightness; network units are what the classifier was trained on, within a few hundredths of grey sRGB.
    Its parameters do not train and its normalisation does not adapt. A new one is random; `create_model` takes the
    pretrained parameters from the weights that ship.

    Attributes:
        channels: of the features.

    Example:
        >>> SemanticEncoder()(torch.zeros(1, 1, 32, 48)).shape
        torch.Size([1, 232, 4, 6])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        trunk = timm.create_model(TRUNK, pretrained=False, in_chans=1)
        self.stem = nn.Sequential(trunk.conv_stem, trunk.bn1)
        self.stages = nn.ModuleList(trunk.blocks[: max(STAGES) + 1])
        self.channels = sum(STAGES.values())
        # Of each channel over film; they bring all channels to one scale.
        self.register_buffer("mean", torch.zeros(self.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(self.channels, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "SemanticEncoder":  # noqa: ARG002
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, lightness: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Features of mean 0 and deviation 1 over film; height and width must be multiples of 16."""
        x = self.stem(lightness)
        maps = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in STAGES:
                maps.append(x)
        size = maps[0].shape[-2:]
        larger = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in maps[1:]]
        return (torch.cat([maps[0], *larger], dim=1) - self.mean) / self.deviation
