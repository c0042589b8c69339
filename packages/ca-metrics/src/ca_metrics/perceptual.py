"""LPIPS through the `lpips` package; its backbone's weights are given or found, never random or fetched."""

import warnings
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float64
from safetensors.torch import load_file
from torch import Tensor, nn

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_pair
from ca_metrics.lpips_weights import SHIPPED, lpips_file

Backbone = Literal["alex", "vgg", "squeeze"]
_TORCHVISION = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights", "squeeze": "SqueezeNet1_1_Weights"}

# Below, the deepest layers of AlexNet have no pixel left.
SMALLEST = 32
_BATCH = 8


class LPIPSUnavailable(ValueError):
    """LPIPS cannot be computed here: its package or its backbone's weights are missing or do not fit."""


def load_lpips(net: Backbone = "alex", *, weights: str | PathLike[str] | None = None) -> nn.Module:
    """The LPIPS v0.1 network of the `lpips` package (Zhang et al. 2018), frozen, on the CPU.

    Its linear layers come with the package or the file, its backbone from the file. No global random state is
    touched, nothing is downloaded.

    Args:
        net: "alex" (what papers report unless they say otherwise), "vgg" or "squeeze".
        weights: torchvision's ImageNet weights of that backbone, a .pth or .safetensors file, or what
            `write_lpips_weights` wrote, which brings the linear layers along; None looks for either in
            `torch.hub.get_dir()/checkpoints`.

    Returns:
        The network, for `lpips` and `LPIPS`.

    Raises:
        ValueError: net is unknown.
        LPIPSUnavailable: the package or the weights are missing, or the weights do not fit; says how to
            provide them.

    Example:
        >>> load_lpips("alex", weights="nowhere.pth")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ca_metrics.perceptual.LPIPSUnavailable: LPIPS backbone 'alex': no file nowhere.pth; ...
    """
    if net not in _TORCHVISION:
        raise ValueError(
            f"net: expected one of {', '.join(_TORCHVISION)}, got {net!r}; 'alex' is the default of papers"
        )
    try:
        package = import_module("lpips")
        models = import_module("torchvision.models")
    except ImportError as error:
        raise LPIPSUnavailable(
            f"LPIPS needs the package {error.name}: pip install 'ca-metrics[lpips]'"
        ) from error
    url = getattr(models, _TORCHVISION[net]).IMAGENET1K_V1.url
    path = _find(net, url, weights)
    state = _read(path, net, url)
    # The package can only fill a backbone by downloading it: we let it make a random one, away from the
    # caller's random state and its deprecation warnings away from his terminal, and put the true weights in
    # before anybody can use it.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = package.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _fill(network, state, net)
    return network.requires_grad_(False).eval()


def _find(net: str, url: str, weights: str | PathLike[str] | None) -> Path:
    folder = Path(torch.hub.get_dir(), "checkpoints")
    places = [folder / Path(url).name, folder / lpips_file(net)] if weights is None else [Path(weights)]
    for path in places:
        if path.is_file():
            return path
    made = "" if net not in SHIPPED else "make it with `python -m ca_metrics weights`, or "
    raise LPIPSUnavailable(
        f"LPIPS backbone {net!r}: no file {' or '.join(map(str, places))}; {made}download {url} and put it "
        "there or name it (load_lpips(weights=FILE), --lpips-weights FILE)"
    )


def _read(path: Path, net: str, url: str) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of unknown content fails to unpickle in any way it likes
        raise LPIPSUnavailable(
            f"LPIPS backbone {net!r}: {path} holds no PyTorch weights; expected {url}"
        ) from error
    if not isinstance(state, dict):
        raise LPIPSUnavailable(
            f"LPIPS backbone {net!r}: {path} holds a {type(state).__name__}, expected the dict of {url}"
        )
    return state


def _fill(network: nn.Module, state: dict[str, Tensor], net: str) -> None:
    # The package cuts torchvision's `features` into slices and keeps the layers' numbers: slice2.3.weight is
    # features.3.weight. Its linear layer lin0 is lin0.model, a dropout and the convolution.
    for name, parameter in network.get_submodule("net").state_dict().items():
        _copy(state, "features." + name.split(".", 1)[1], parameter, net)
    for name, parameter in network.state_dict().items():
        head, _, rest = name.partition(".")
        if rest == "model.1.weight" and f"{head}.weight" in state:
            _copy(state, f"{head}.weight", parameter, net)


def _copy(state: dict[str, Tensor], source: str, parameter: Tensor, net: str) -> None:
    value = state.get(source)
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        got = tuple(value.shape) if isinstance(value, Tensor) else "nothing"
        raise LPIPSUnavailable(
            f"LPIPS backbone {net!r}: the weights do not fit, {source} should be "
            f"{tuple(parameter.shape)} and is {got}; give torchvision's ImageNet weights of this backbone"
        )
    parameter.copy_(value)


def lpips(pred: Frames, true: Frames, network: nn.Module | None = None) -> Float64[Tensor, "t"]:
    """Learned perceptual image patch similarity of every frame, v0.1 (Zhang et al. 2018), lower is closer.

    Equals the `lpips` package on frames scaled to [-1, 1].

    Args:
        pred: predicted RGB frames "t 3 h w", uint8 or float in [0, 1]; at least 32 x 32.
        true: true frames, the same shape.
        network: what `load_lpips` returned; moved to the frames' device. None loads AlexNet anew with each
            call.

    Returns:
        "t", 0 where the frames are identical.

    Raises:
        ValueError: the frames are not RGB frames, are too small, or differ in shape or device.
        LPIPSUnavailable: no network was given and none can be loaded.

    Example:
        >>> frames = torch.rand(2, 3, 64, 64)
        >>> lpips(frames, frames, load_lpips()).tolist()  # doctest: +SKIP
        [0.0, 0.0]
    """
    check_pair(pred, true, channels=3)
    if min(pred.shape[-2:]) < SMALLEST:
        raise ValueError(
            f"pred: expected frames of at least {SMALLEST} x {SMALLEST} pixels, got {pred.shape[-1]} x "
            f"{pred.shape[-2]}; LPIPS is not defined for them"
        )
    network = (load_lpips() if network is None else network).to(pred.device)
    with torch.no_grad():
        pairs = zip(pred.split(_BATCH), true.split(_BATCH), strict=True)
        return torch.cat([network(_signed(p), _signed(t)).flatten() for p, t in pairs]).double()


def _signed(frames: Frames) -> Tensor:
    return frames.float() / 127.5 - 1 if frames.dtype == torch.uint8 else frames.float() * 2 - 1


class LPIPS(ClipMean):
    """`lpips`, averaged over frames and then over clips.

    Args:
        network: what `load_lpips` returned; None loads AlexNet, once.

    Raises:
        LPIPSUnavailable: no network was given and none can be loaded.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        self._network = load_lpips() if network is None else network
        super().__init__()

    def update(self, pred: Frames, true: Frames) -> None:
        """Add frames to the open clip.

        Args:
            pred: predicted RGB frames "t 3 h w", uint8 or float in [0, 1]; at least 32 x 32.
            true: true frames, the same shape.

        Raises:
            ValueError: the frames are not RGB frames, are too small, or differ in shape or device.
            LPIPSUnavailable: no network was given and none can be loaded.
        """
        self._add(lpips(pred, true, self._network))
