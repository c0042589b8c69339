"""Baselines, network and other systems' folders behind one call."""

from pathlib import Path

import ca_model
import pytest
import torch
from ca_data import FrameFolder, normalize_lab, rgb_to_lab, synthetic_clip, to_uint8, write_frames
from ca_data.color import lab_to_rgb
from ca_trainer.errors import TrainerError
from ca_trainer.evaluation.colorizers import BaselineColorizer, FolderColorizer, ModelColorizer

CLIP = synthetic_clip(5, frames=5, size=(37, 53))
LAB = rgb_to_lab(CLIP)


@pytest.fixture(scope="module", params=["tiny", "looking-ahead"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that streams at once, and one that looks two frames ahead."""
    if request.param == "tiny":
        model = ca_model.create_model("tiny")
    else:
        model = ca_model.create_model("paper", widths=(12, 24, 32, 48), width=24, body_depth=2)
    for (
        parameter
    ) in model.parameters():  # a fresh network hardly colours: give its output something to compare
        parameter.data += 0.02 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    ca_model.save_model(model, path)
    return path


def colored(colorizer, references: dict[int, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(colorizer.colorize("clip", iter(LAB[:, :1]), references)))


def test_grey_keeps_the_lightness():
    grey = colored(BaselineColorizer("grey"), {})
    assert (rgb_to_lab(grey)[:, :1] - LAB[:, :1]).abs().max() < 0.3
    assert (grey.int() - grey[:, :1].int()).abs().max() <= 1


def test_an_unknown_method_is_named():
    with pytest.raises(TrainerError, match="expected model, grey, mean, static, flow, got 'gray'"):
        BaselineColorizer("gray")


def test_the_network_is_streamed_as_it_is_trained(weights: Path):
    model = ca_model.load_model(weights)
    known = normalize_lab(LAB[[0, 3]])
    ab = torch.zeros(1, 5, 2, 37, 53)
    ab[0, [0, 3]] = known[:, 1:]
    mask = torch.tensor([[True, False, False, True, False]])
    with torch.inference_mode():
        whole = model(LAB[None, :, :1] / 50 - 1, known[None], given=ca_model.Given(ab, mask)).ab[0] * 110
    expected = to_uint8(lab_to_rgb(torch.cat([LAB[:, :1], whole], dim=1)))
    found = colored(ModelColorizer(str(weights), device=torch.device("cpu")), {3: LAB[3], 0: LAB[0]})
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).float().mean() < 0.01


def test_the_network_never_sees_later_colors(weights: Path):
    colorizer = ModelColorizer(str(weights), device=torch.device("cpu"))
    assert colorizer.name == weights.stem
    assert colorizer.identity["weights"]["sha256"] == ca_model.weights_hash(weights)
    first = colored(colorizer, {0: LAB[0]})
    assert torch.equal(first, colored(colorizer, {0: LAB[0]}))
    assert not torch.equal(first, colored(colorizer, {0: LAB[0] * torch.tensor([1.0, -1, -1]).view(3, 1, 1)}))


def test_weights_that_are_not_there():
    with pytest.raises(ca_model.ModelError, match="no such file"):
        ModelColorizer("nowhere.safetensors", device=torch.device("cpu"))


def folders(root: Path, frames: torch.Tensor, names: list[int]) -> tuple[Path, dict[str, FrameFolder]]:
    """True clip `boat` and a system's frames of it, the latter numbered as said."""
    truth = FrameFolder(write_frames(CLIP, root / "truth" / "boat"))
    for number, frame in zip(names, frames, strict=True):
        write_frames([frame], root / "system" / "boat", start=number)
    return root / "system", {"boat": truth}


def test_frames_of_another_system_pass_unchanged(tmp_path: Path):
    output = CLIP.flip(1)
    system, truth = folders(tmp_path, output, [11, 12, 13, 14, 15])
    found = torch.stack(list(FolderColorizer(system, truth).colorize("boat", iter(LAB[:, :1]), {0: LAB[0]})))
    assert torch.equal(found, output)


def test_a_system_may_leave_its_reference_out(tmp_path: Path):
    system, truth = folders(tmp_path, CLIP.flip(1)[1:], [1, 2, 3, 4])
    found = torch.stack(list(FolderColorizer(system, truth).colorize("boat", iter(LAB[:, :1]), {0: LAB[0]})))
    assert torch.equal(found[1:], CLIP.flip(1)[1:])
    assert (found[0].int() - CLIP[0].int()).abs().max() <= 1


def test_a_scored_frame_must_be_there(tmp_path: Path):
    system, truth = folders(tmp_path, CLIP[:4], [0, 1, 3, 4])
    frames = FolderColorizer(system, truth).colorize("boat", iter(LAB[:, :1]), {0: LAB[0]})
    with pytest.raises(TrainerError, match="clip boat has no frame 2"):
        list(frames)


def test_too_many_frames_are_refused(tmp_path: Path):
    system, truth = folders(tmp_path, torch.cat([CLIP, CLIP[:1]]), [0, 1, 2, 3, 4, 5])
    with pytest.raises(TrainerError, match="has 6 frames, the truth 5"):
        FolderColorizer(system, truth)


def test_frames_of_another_size_are_refused(tmp_path: Path):
    system, truth = folders(tmp_path, CLIP[..., :41], [0, 1, 2, 3, 4])
    with pytest.raises(TrainerError, match="frame 0 of boat: expected 53x37 pixels, got 41x37"):
        next(FolderColorizer(system, truth).colorize("boat", iter(LAB[:, :1]), {0: LAB[0]}))


def test_a_missing_clip_is_named(tmp_path: Path):
    system, truth = folders(tmp_path, CLIP, [0, 1, 2, 3, 4])
    with pytest.raises(TrainerError, match="found none for kite"):
        FolderColorizer(system, {**truth, "kite": truth["boat"]})
