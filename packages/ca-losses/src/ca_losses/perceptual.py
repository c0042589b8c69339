"""Perceptual loss: L1 between VGG19 features of RGB frames."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19  # type: ignore[import-untyped]

# Where torchvision's `vgg19().features` holds the activation of that name.
_BLOCKS = (2, 2, 4, 4, 4)
_NAMES = [f"relu{block}_{i}" for block, depth in enumerate(_BLOCKS, 1) for i in range(1, depth + 1)]
_POSITIONS = dict(zip(_NAMES, (1, 3, 6, 8, 11, 13, 15, 17, 20, 22, 24, 26, 29, 31, 33, 35), strict=True))
_URL = VGG19_Weights.IMAGENET1K_V1.url
_REMEDY = f"put {_URL} there, or give a .pth or .safetensors file of it, or switch this loss off (weight 0)"

# Layers p and weights lambda_p of Eq. 10, which the paper leaves open: one activation per block, deeper ones
# count more, as in pix2pixHD (Wang et al. 2018). Shallow layers alone would repeat the pixel loss.
LAYERS: Mapping[str, float] = MappingProxyType(
    {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
)


class VGGUnavailable(ValueError):
    """The perceptual loss has no VGG19 weights, or weights that do not fit."""


class PerceptualLoss(nn.Module):
    """L1 between VGG19 features of RGB frames (Eq. 10, N12).

    `L_perc = 1/T sum_t sum_p lambda_p |Phi_p(x_t) - Phi_p(s_t)|`, each norm a mean over the values of its
    layer. The paper says "VGG"; we take VGG19, as pix2pixHD does, whose lambda_p we use. The network is
    frozen and lies on the CPU until the module is moved. Nothing is downloaded: weights come from a file.

    Args:
        weights: torchvision's ImageNet VGG19 weights, a .pth or .safetensors file (the classifier may be
            missing); None looks where torchvision keeps them, `torch.hub.get_dir()/checkpoints`.
        layers: lambda_p by the activation's name, "relu1_1" to "relu5_4".

    Raises:
        VGGUnavailable: the weights are missing (says how to provide them, and how to do without) or do not
            fit.
        ValueError: a layer is unknown.

    Example:
        >>> loss = PerceptualLoss()  # doctest: +SKIP
        >>> loss(torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96))  # doctest: +SKIP
        tensor(0.8)
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, weights: str | PathLike[str] | None = None, *, layers: Mapping[str, float] = LAYERS
    ) -> None:
        super().__init__()
        if unknown := [name for name in layers if name not in _POSITIONS]:
            raise ValueError(f"layers: expected names relu1_1 to relu5_4 of VGG19, got {unknown[0]!r}")
        self._lambdas = {_POSITIONS[name]: weight for name, weight in layers.items() if weight != 0}
        if not self._lambdas:
            raise ValueError(
                "layers: expected at least one weight other than 0, got none; use ColorizationLoss' weight 0"
            )
        self.features = _build_features(max(self._lambdas) + 1, _find_weights(weights))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, pred: Float[Tensor, "*b 3 h w"], true: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, ""]:
        """The loss of predicted frames.

        Args:
            pred: predicted frames, sRGB in [0, 1], at least 16 x 16; any leading axes.
            true: true frames, the same shape; no gradient flows to them unless they ask for it.

        Returns:
            Scalar.

        Raises:
            ValueError: the shapes differ, or are no RGB frames.
        """
        if pred.shape != true.shape or pred.ndim < 4 or pred.shape[-3] != 3 or min(pred.shape[-2:]) < 16:
            raise ValueError(
                'pred and true: expected RGB frames "b 3 h w" of one shape, at least 16 x 16, got '
                f"{tuple(pred.shape)} and {tuple(true.shape)}"
            )
        parts = zip(self._activations(pred), self._activations(true), self._lambdas.values(), strict=True)
        return torch.stack([weight * F.l1_loss(p, t) for p, t, weight in parts]).sum()

    def _activations(self, rgb: Float[Tensor, "*b 3 h w"]) -> list[Tensor]:
        x = (rgb.flatten(0, -4) - self.mean) / self.std
        found = {}
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self._lambdas:
                found[position] = x
        return [found[position] for position in self._lambdas]


def _find_weights(weights: str | PathLike[str] | None) -> Path:
    path = Path(torch.hub.get_dir(), "checkpoints", Path(_URL).name) if weights is None else Path(weights)
    if not path.is_file():
        raise VGGUnavailable(f"perceptual loss: expected VGG19 weights, got no file {path}; {_REMEDY}")
    return path


def _build_features(length: int, path: Path) -> nn.Sequential:
    # On the meta device: no memory for the classifier, no draw from the caller's random state.
    with torch.device("meta"):
        features = vgg19(weights=None, init_weights=False).features[:length]
    state = _read(path)
    chosen = {}
    for name, parameter in features.state_dict().items():
        value = state.get(f"features.{name}")
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else "nothing"
            raise VGGUnavailable(
                f"perceptual loss: expected VGG19 weights, but features.{name} of {path} is {got} and not "
                f"{tuple(parameter.shape)}; {_REMEDY}"
            )
        chosen[name] = value.float()
    features.load_state_dict(chosen, assign=True)
    return features.requires_grad_(False).eval()


def _read(path: Path) -> Mapping[str, object]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise VGGUnavailable(
            f"perceptual loss: reading {path} needs the package safetensors; install it"
        ) from error
    except Exception as error:  # a file of unknown content fails to unpickle in any way it likes
        raise VGGUnavailable(
            f"perceptual loss: expected VGG19 weights, {path} holds none; {_REMEDY}"
        ) from error
    if not isinstance(state, dict):
        raise VGGUnavailable(
            f"perceptual loss: expected VGG19 weights, {path} holds a {type(state).__name__}; {_REMEDY}"
        )
    return state
