"""Which samples the steps see: the same for any number of ranks and after any restart."""

from itertools import chain
from pathlib import Path

import ca_data
import pytest
import torch
from ca_trainer.errors import TrainerError
from ca_trainer.recipe import DataChoice
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training.batches import (
    StepSampler,
    find_clips,
    make_dataset,
    make_loader,
    split_clips,
)

SMALL = ["data.clips=5", "data.frames=5", "data.size=[32, 48]", "data.crop=[16, 32]", "data.batch=6"]
SMALL += ["data.validation_frames=2", "data.validation_clips=2", "data.clip_length=3", "data.workers=0"]


def write_clips(root: Path, frames: dict[str, int], size: tuple[int, int] = (32, 48)) -> Path:
    for number, (name, count) in enumerate(frames.items()):
        ca_data.write_frames(ca_data.synthetic_clip(number, count, size), root / name)
    return root


def test_an_epoch_takes_every_clip_once_in_an_order_of_its_own() -> None:
    tickets = list(
        chain.from_iterable(StepSampler(load_recipe("demo", SMALL), 7, 0, 7))
    )  # 42 = 6 epochs of 7
    epochs = [[t.index for t in tickets if t.epoch == epoch] for epoch in range(6)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_same_global_batches(world: int) -> None:
    recipe = load_recipe("demo", SMALL)
    whole = list(StepSampler(recipe, 7, 0, 5))
    ranks = [list(StepSampler(recipe, 7, 0, 5, rank=rank, world=world)) for rank in range(world)]
    for step, batch in enumerate(whole):
        assert [ranks[n % world][step][n // world] for n in range(len(batch))] == batch


def test_a_restart_goes_on_where_it_was() -> None:
    recipe = load_recipe("demo", SMALL)
    assert list(StepSampler(recipe, 7, 3, 9)) == list(StepSampler(recipe, 7, 0, 9))[3:]


def test_other_seeds_give_other_orders() -> None:
    orders = {
        tuple(next(iter(StepSampler(load_recipe("demo", [*SMALL, f"seed={seed}"]), 97, 0, 1))))
        for seed in range(5)
    }
    assert len(orders) == 5


def test_workers_change_nothing() -> None:
    batches = []
    for workers in (0, 2):
        recipe = load_recipe("demo", [*SMALL, f"data.workers={workers}", "data.clip_length_start=2"])
        dataset = make_dataset(recipe, find_clips(recipe.data))
        batches.append(list(make_loader(recipe, dataset, 1, 3, rank=0, world=1, pin_memory=False)))
    for one, other in zip(*batches, strict=True):
        assert one["clip"] == other["clip"]
        assert torch.equal(one["ab"], other["ab"])
        assert torch.equal(one["references"], other["references"])


def test_samples_are_as_long_as_their_key_says() -> None:
    recipe = load_recipe("demo", [*SMALL, "data.clip_length_start=2", "data.clip_length_growth=2"])
    keys = [batch[0] for batch in StepSampler(recipe, 5, 0, 3)]
    assert [key.length for key in keys] == [2, 2, 3]
    dataset = make_dataset(recipe, find_clips(recipe.data))
    batch = next(iter(make_loader(recipe, dataset, 0, 1, rank=0, world=1, pin_memory=False)))
    assert batch["lightness"].shape == (6, 2, 1, 16, 32)
    assert batch["ab"].shape == (6, 2, 2, 16, 32)


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    recipe = load_recipe("demo", SMALL)
    dataset = make_dataset(recipe, find_clips(recipe.data))
    with pytest.raises(TrainerError, match="multiple of ranks"):
        make_loader(recipe, dataset, 0, 1, rank=0, world=4, pin_memory=False)


def test_clips_are_split_by_name_and_share_none(tmp_path: Path) -> None:
    clips = ca_data.list_clips(write_clips(tmp_path, {f"{c}-{i}": 3 for c in "abc" for i in range(3)}))
    data = DataChoice(source="clips", root=str(tmp_path), validation_clips=9, validation_fraction=0.3)
    training, validation = split_clips(clips, data)
    assert len(validation) == 3
    assert {c.name for c in training} | {c.name for c in validation} == {c.name for c in clips}
    fewer = [clip for clip in clips if clip.name != training[0].name]
    assert {c.name for c in split_clips(fewer, data)[1]} <= {c.name for c in validation}
    by_prefix = DataChoice(
        source="clips", root=str(tmp_path), validation_prefixes=("b-",), validation_clips=2
    )
    training, validation = split_clips(clips, by_prefix)
    assert [c.name for c in validation] == ["b-0", "b-1"]
    assert all(not c.name.startswith("b-") for c in training)
    assert len(training) == 6
    strange = DataChoice(source="clips", root=str(tmp_path), validation_prefixes=("elsewhere-",))
    assert len(split_clips(clips, strange)[1]) == 1, "prefixes of other data leave the fraction"


def test_short_clips_are_left_out_and_counted_and_the_checksum_follows_the_data(tmp_path: Path) -> None:
    root = write_clips(tmp_path, {"a": 5, "b": 5, "c": 2, "d": 5})
    data = DataChoice(source="clips", root=str(root), clip_length=4, validation_prefixes=("d",))
    clips = find_clips(data)
    assert ([c.name for c in clips.training], clips.left_out) == (["a", "b"], 1)
    assert find_clips(data).checksum == clips.checksum
    ca_data.write_frames(ca_data.synthetic_clip(9, 5, (32, 48)), root / "a")
    assert find_clips(data).checksum != clips.checksum


def test_unfit_data_get_one_clear_line(tmp_path: Path) -> None:
    def refused(told: str, **choice: object) -> None:
        with pytest.raises(TrainerError, match=told):
            find_clips(DataChoice(source="clips", root=str(tmp_path), **choice))

    refused("no clips")
    write_clips(tmp_path, {"a": 5, "b": 5})
    write_clips(tmp_path, {"c": 5}, (16, 48))
    refused("both need one", clip_length=9)
    refused("crop", crop=(32, 48), clip_length=2, validation_prefixes=("b",))
    refused("differ in size", clip_length=2, validation_prefixes=("b",))
    with pytest.raises(TrainerError, match="does not exist"):
        find_clips(DataChoice(source="clips", root=str(tmp_path / "nowhere")))
