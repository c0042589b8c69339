"""Perceptual loss: L1 between VGG features of RGB frames."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg16, vgg19  # type: ignore[import-untyped]

# Convolutions in each block of the two networks; torchvision's numbers of the layers follow from them.
_BLOCKS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
_BUILDERS = {"vgg19": vgg19, "vgg16": vgg16}
_URL = VGG19_Weights.IMAGENET1K_V1.url
# What `python -m ca_metrics weights` writes: VGG16, named as torchvision names it.
_MADE = "lpips_vgg.safetensors"
_REMEDY = (
    f"make {_MADE} with `python -m ca_metrics weights` (package ca-metrics), or put {_URL} there, or give a .pth "
    "or .safetensors file of VGG19 or VGG16, or switch this loss off (weight 0)"
)


def _positions(network: str) -> dict[str, int]:
    """Where torchvision's `features` of that network holds the activation of that name."""
    found, position = {}, 1
    for block, depth in enumerate(_BLOCKS[network], 1):
        for i in range(1, depth + 1):
            found[f"relu{block}_{i}"] = position
            position += 2
        position += 1  # the pooling
    return found


# Layers p and weights lambda_p of Eq. 10, which the paper leaves open: one activation per block, deeper ones
# count more, as in pix2pixHD (Wang et al. 2018). Shallow layers alone would repeat the pixel loss.
LAYERS: Mapping[str, float] = MappingProxyType(
    {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
)


class VGGUnavailable(ValueError):
    """The perceptual loss has no VGG weights, or weights that do not fit."""


class PerceptualLoss(nn.Module):
    """L1 between VGG features of RGB frames (Eq. 10, N12).

    `L_perc = 1/T sum_t sum_p lambda_p |Phi_p(x_t) - Phi_p(s_t)|`, each norm a mean over the values of its
    layer. The paper says "VGG" and not which: the file decides. VGG19 is what pix2pixHD takes, whose lambda_p
    we use; VGG16 is what LPIPS takes, and its activations carry the same names, but give other numbers. The
    network is frozen and lies on the CPU until the module is moved. Nothing is downloaded: weights come from
    a file.

    Args:
        weights: torchvision's ImageNet weights of VGG19 or VGG16, a .pth or .safetensors file (the classifier
            may be missing), or the `lpips_vgg.safetensors` (VGG16) that `python -m ca_metrics weights` makes;
            None looks in `torch.hub.get_dir()/checkpoints` for torchvision's VGG19, then for that file.
        layers: lambda_p by the activation's name, "relu1_1" to "relu5_4" (VGG16: to "relu5_3").

    Attributes:
        network: "vgg19" or "vgg16".

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
        if unknown := [name for name in layers if name not in _positions("vgg19")]:
            raise ValueError(f"layers: expected names relu1_1 to relu5_4, got {unknown[0]!r}")
        if not any(layers.values()):
            raise ValueError(
                "layers: expected at least one weight other than 0, got none; use ColorizationLoss' weight 0"
            )
        path = _find_weights(weights)
        state = _read(path)
        # A convolution of VGG16, where VGG19 has a ReLU.
        self.network = "vgg16" if "features.17.weight" in state else "vgg19"
        positions = _positions(self.network)
        if unknown := [name for name in layers if name not in positions]:
            raise ValueError(
                f"layers: expected names relu1_1 to relu5_3 of VGG16, whose weights {path} holds, got "
                f"{unknown[0]!r}"
            )
        self._lambdas = {positions[name]: weight for name, weight in layers.items() if weight != 0}
        self.features = _build_features(self.network, max(self._lambdas) + 1, state, path)
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
    folder = Path(torch.hub.get_dir(), "checkpoints")
    places = [folder / Path(_URL).name, folder / _MADE] if weights is None else [Path(weights)]
    for path in places:
        if path.is_file():
            return path
    raise VGGUnavailable(
        f"perceptual loss: expected VGG weights, got no file {' or '.join(map(str, places))}; {_REMEDY}"
    )


def _build_features(network: str, length: int, state: Mapping[str, object], path: Path) -> nn.Sequential:
    # On the meta device: no memory for the classifier, no draw from the caller's random state.
    with torch.device("meta"):
        features = _BUILDERS[network](weights=None, init_weights=False).features[:length]
    chosen = {}
    for name, parameter in features.state_dict().items():
        value = state.get(f"features.{name}")
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else "nothing"
            raise VGGUnavailable(
                f"perceptual loss: expected VGG weights, but features.{name} of {path} is {got} and not "
                f"{tuple(parameter.shape)}; {_REMEDY}"
            )
        chosen[name] = value.float()
    features.load_state_dict(chosen, assign=True)
    return features.requires_grad_(False).eval()


def _read(path: Path) -> Mapping[str, object]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of unknown content fails to unpickle in any way it likes
        raise VGGUnavailable(
            f"perceptual loss: expected VGG weights, {path} holds none; {_REMEDY}"
        ) from error
    if not isinstance(state, dict):
        raise VGGUnavailable(
            f"perceptual loss: expected VGG weights, {path} holds a {type(state).__name__}; {_REMEDY}"
        )
    return state
