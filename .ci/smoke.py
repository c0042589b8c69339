"""What an installed package has to do at the least; run with the modules to try, where nothing else is installed."""

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def film(_: Any) -> None:
    import ca_data
    import ca_film
    import ca_model

    folder = Path(tempfile.mkdtemp())
    ca_model.save_model(ca_model.create_model("tiny"), folder / "tiny.safetensors")
    clip = ca_data.synthetic_clip(1, frames=3, size=(32, 48)).permute(0, 2, 3, 1).numpy()
    options = ca_film.ColorizeOptions(weights=str(folder / "tiny.safetensors"), cuts=[], device="cpu")
    assert len(list(ca_film.color_pictures(clip, {0: clip[0]}, options))) == 3


def model(module: Any) -> None:
    network = module.create_model("tiny").eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 2, 1, 32, 48), [torch.zeros(1, 3, 32, 48)]).ab.shape == (
            1,
            2,
            2,
            32,
            48,
        )
    assert module.load_model("base") is not None


def metrics(module: Any) -> None:
    assert module.psnr(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1)).shape == (2,)


def data(module: Any) -> None:
    clip = module.synthetic_clip(1, frames=2, size=(32, 48))
    assert torch.equal(module.to_uint8(module.network_to_rgb(*module.rgb_to_network(clip))), clip)


TRIED: dict[str, Callable[[Any], None]] = {
    "ca_film": film,
    "ca_model": model,
    "ca_metrics": metrics,
    "ca_data": data,
    "ca_align": lambda module: module.estimate_flow(torch.rand(1, 1, 32, 48), torch.rand(1, 1, 32, 48)),
    "ca_losses": lambda module: module.l1_loss(torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)),
}


def main(names: list[str]) -> None:
    for name in names:
        module = importlib.import_module(name)
        assert module.__all__
        assert all(hasattr(module, public) for public in module.__all__)
        TRIED.get(name, lambda _: None)(module)
    print(f"{' '.join(names)}: python {sys.version.split()[0]}, torch {torch.__version__}")


if __name__ == "__main__":
    main(sys.argv[1:])
