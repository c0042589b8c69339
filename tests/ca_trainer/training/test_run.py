"""Whole runs in this process: what they leave behind, and that an interrupted one ends as an uninterrupted one."""

import io
import json
import multiprocessing
from pathlib import Path

import ca_losses
import ca_model
import pytest
import torch
from ca_trainer.errors import NonFiniteError, TrainerError
from ca_trainer.recipe_toml import load_recipe, parse_recipe
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.run import train
from ca_trainer.training.run_folder import open_run
from PIL import Image
from rich.console import Console
from torchvision.models import vgg19

TIMING = ("seconds", "waiting", "frames_per_second")


def entries(folder: Path, event: str = "step") -> list[dict[str, object]]:
    found = [entry for entry in read_metrics(folder / "metrics.jsonl") if entry["event"] == event]
    return [{name: value for name, value in entry.items() if name not in TIMING} for entry in found]


def test_a_run_leaves_everything_it_promises(tmp_path: Path, small: list[str]) -> None:
    recipe, told = load_recipe("demo", small), io.StringIO()
    result = train(recipe, out=tmp_path / "run", console=Console(file=told, width=200))
    run = result.folder
    assert (result.steps, result.finished) == (6, True)
    assert result.psnr is not None
    assert parse_recipe((run / "recipe.toml").read_text()) == recipe
    assert [entry["step"] for entry in entries(run)] == [1, 2, 3, 4, 5, 6]
    assert [entry["step"] for entry in entries(run, "validation")] == [0, 3, 6]
    assert entries(run, "validation")[-1]["psnr"] == result.psnr
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == [
        "step-00000004",
        "step-00000006",
    ]
    assert list((run / "tensorboard").iterdir())
    for name in ("loss_curve.png", "preview.png"):
        assert min(Image.open(run / name).size) > 100
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["seed"] == 0
    assert torch.__version__.startswith(provenance["versions"]["torch"])
    metadata = ca_model.read_metadata(result.weights)
    assert parse_recipe(metadata["recipe"]) == recipe
    assert (metadata["steps"], metadata["data_checksum"]) == ("6", provenance["data_checksum"])
    for word in ("demo", "Network", "5 synthetic clips", "cpu", "grey", "weights.safetensors", "preview.png"):
        assert word in told.getvalue()


def test_mixed_precision_trains_and_sees_the_lightness_as_it_is(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to bfloat16, neighbouring greys would be one, and motion below a pixel invisible."""
    seen, products = set(), set()
    forward = ca_model.ColorAlignNet.forward

    def note(model, lightness, *others, **named):
        output = forward(model, lightness, *others, **named)
        seen.add(lightness.dtype)
        products.add(model.context(torch.rand(1, model.context.in_channels, 1, 1)).dtype)
        return output

    monkeypatch.setattr(ca_model.ColorAlignNet, "forward", note)
    recipe = load_recipe("demo", [*quick, "steps=2", "validate_every=0", "compute.precision='bf16-mixed'"])
    assert train(recipe, out=tmp_path / "run").finished
    assert seen == {torch.float32}
    assert torch.bfloat16 in products


def test_frames_per_second_count_the_frames_there_were(tmp_path: Path, quick: list[str]) -> None:
    """Where clips grow, a step is as fast as what it has seen, not as what the last will see."""
    options = [
        *quick,
        "steps=4",
        "data.clip_length_start=2",
        "data.clip_length_growth=3",
        "data.clip_length=5",
    ]
    recipe = load_recipe("demo", options)
    folder = train(recipe, out=tmp_path / "run").folder
    steps = [entry for entry in read_metrics(folder / "metrics.jsonl") if entry["event"] == "step"]
    seen = [round(entry["frames_per_second"] * entry["seconds"]) for entry in steps]
    assert seen[0] == 2 * recipe.data.batch
    assert seen[-1] == 5 * recipe.data.batch


def test_weights_are_the_average_and_load(tmp_path: Path, quick: list[str]) -> None:
    result = train(load_recipe("demo", [*quick, "steps=2"]), out=tmp_path / "run")
    state = torch.load(tmp_path / "run/checkpoints/step-00000002/state.pt", weights_only=True)
    loaded = ca_model.load_model(result.weights).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state["average.weights"].items())
    assert any(not torch.equal(loaded[name], value) for name, value in state["network.weights"].items())


@pytest.mark.parametrize("more", [[], ["losses.adversarial=0.1", "optimizer.accumulate=2", "data.workers=0"]])
def test_resumed_equals_uninterrupted(tmp_path: Path, quick: list[str], more: list[str]) -> None:
    recipe = load_recipe("demo", [*quick, *more])
    whole = train(recipe, out=tmp_path / "whole")
    train(recipe, out=tmp_path / "parts", max_steps=3)
    parts = train(open_run(tmp_path / "parts")[1], out=tmp_path / "parts", resume=True)
    assert entries(whole.folder) == entries(parts.folder)
    assert entries(whole.folder, "validation") == entries(parts.folder, "validation")
    for name, value in ca_model.load_model(whole.weights).state_dict().items():
        assert torch.equal(value, ca_model.load_model(parts.weights).state_dict()[name])


def test_accumulating_equals_one_batch(tmp_path: Path, quick: list[str]) -> None:
    """With seed 0 the error of one value is 0 but for rounding, and L1 has no gradient there to compare."""
    same = [*quick, "seed=1", "steps=3"]
    runs = [
        train(load_recipe("demo", [*same, f"optimizer.accumulate={n}"]), out=tmp_path / str(n)).folder
        for n in (1, 2)
    ]
    for one, two in zip(*(entries(run) for run in runs), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["gradient_norm"] == pytest.approx(two["gradient_norm"], rel=1e-4)


def test_another_seed_is_another_run(tmp_path: Path, quick: list[str]) -> None:
    runs = [
        train(load_recipe("demo", [*quick, f"seed={n}", "steps=1"]), out=tmp_path / str(n)) for n in (0, 1)
    ]
    assert entries(runs[0].folder)[0]["loss"] != entries(runs[1].folder)[0]["loss"]


def test_a_loss_that_is_no_number_stops_before_the_update_and_names_the_batch(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss, calls = ca_losses.total.l1_loss, []

    def broken(pred: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return true_loss(pred, true) * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(ca_losses.total, "l1_loss", broken)
    with pytest.raises(
        NonFiniteError, match=r"step 4: .*not updated.*rank 0.*synthetic-\d+ from frame \d"
    ) as error:
        train(load_recipe("demo", [*quick, "checkpoint_every=3"]), out=tmp_path / "run")
    assert "\n" not in str(error.value)
    # its traceback is still held here; a worker left alive would keep the interpreter from ending
    assert not multiprocessing.active_children()
    assert [entry["step"] for entry in entries(tmp_path / "run")] == [1, 2, 3]
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000003"]


def test_a_perceptual_and_adversarial_run_logs_every_part(tmp_path: Path, quick: list[str]) -> None:
    file = tmp_path / "vgg_random.pth"  # a test double for the loader: random numbers in the shape of VGG19
    with torch.device("meta"):
        shapes = vgg19(weights=None, init_weights=False).features.state_dict()
    torch.save({f"features.{name}": torch.randn(value.shape) * 0.02 for name, value in shapes.items()}, file)
    parts = ["losses.perceptual=1.0", "losses.adversarial=0.01", f"losses.vgg_weights='{file}'", "steps=2"]
    folder = train(load_recipe("demo", [*quick, *parts, "data.batch=1"]), out=tmp_path / "run").folder
    last = entries(folder)[-1]
    weighted = {"pixel": 1.0, "perceptual": 1.0, "adversarial": 0.01, "auxiliary": 0.2}
    assert last["loss"] == pytest.approx(
        sum(weight * last[name] for name, weight in weighted.items()), rel=1e-5
    )
    health = {
        "discriminator_loss",
        "discriminator_true",
        "discriminator_colored",
        "discriminator_gradient_norm",
    }
    assert health <= last.keys()
    with pytest.raises(TrainerError, match=r"losses.perceptual: .*VGG"):
        train(load_recipe("demo", [*quick, *parts, "losses.vgg_weights=no-such-file"]), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_real_frame_folders_train(tmp_path: Path, quick: list[str], shared_data: Path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    for clip in sorted((shared_data / "train").iterdir())[:3]:
        (root / clip.name).symlink_to(clip)
    data = ["data.source=clips", f"data.root='{root}'", "data.size=[]", "steps=1", "data.crop=[48, 64]"]
    result = train(load_recipe("demo", [*quick, *data, "data.validation_frames=2"]), out=tmp_path / "run")
    assert result.psnr_grey is not None
    assert 10 < result.psnr_grey < 50


def test_a_run_is_never_overwritten_and_a_resumption_needs_one(tmp_path: Path, quick: list[str]) -> None:
    recipe = load_recipe("demo", [*quick, "steps=1"])
    train(recipe, out=tmp_path / "run")
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(TrainerError, match="already holds a run; add --resume"):
        train(recipe, out=tmp_path / "run")
    with pytest.raises(TrainerError, match="has done 1 of 1 steps"):
        train(recipe, out=tmp_path / "run", resume=True)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before
    with pytest.raises(TrainerError, match="holds no run"):
        open_run(tmp_path / "nothing")
    with pytest.raises(TrainerError, match="which run to continue"):
        open_run(None)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, quick: list[str]) -> None:
    train(load_recipe("demo", [*quick, "steps=1"]), out=tmp_path / "run")
    wider = load_recipe("demo", [*quick, "steps=2", "model.overrides.width=16"])
    with pytest.raises(TrainerError, match="does not fit this recipe"):
        train(wider, out=tmp_path / "run", resume=True)


def test_unknown_presets_and_unfit_weights_are_told(tmp_path: Path, quick: list[str]) -> None:
    for change, told in (
        ("model.preset=huge", "expected one of"),
        ("model.overrides.widht=8", "unknown widht"),
        ("model.initial_weights=nowhere.safetensors", "no such file"),
    ):
        with pytest.raises(TrainerError, match=told):
            train(load_recipe("demo", [*quick, change]), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
