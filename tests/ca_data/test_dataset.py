"""Samples: what they hold, that they repeat, and what augmentation and reference choice do."""

import pickle

import pytest
import torch
from ca_data import (
    AugmentConfig,
    ClipCache,
    ClipDataset,
    FrameFolder,
    ReferenceConfig,
    SyntheticClip,
    network_to_rgb,
    rgb_to_network,
    sample_generator,
    to_uint8,
    write_frames,
)
from ca_data.augment import add_lightness_noise, choose_window, degrade_color, shift_hue, weaken_color
from ca_data.references import choose_references, choose_start
from torch.utils.data import DataLoader, Dataset

NONE = {
    "flip": 0.0,
    "reverse": 0.0,
    "hue_shift_degrees": 0.0,
    "color_scale": (1.0, 1.0),
    "noise": 0.0,
    "weaken": 0.0,
}


class CountedClip:
    """A clip whose frame i is filled with 10 + i, counting how often it is decoded."""

    def __init__(self, frames: int, size: tuple[int, int] = (11, 13), name: str = "counted") -> None:
        self.frames, self.size, self.name, self.reads = frames, size, name, 0
        self.signature = f"{name} {frames} {size}"

    def __len__(self) -> int:
        return self.frames

    def read(self, indices=None):
        self.reads += 1
        numbers = torch.arange(self.frames) if indices is None else torch.tensor(list(indices))
        return (numbers + 10).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, *self.size).contiguous()


def levels(lightness: torch.Tensor) -> list[int]:
    """The frame numbers of a CountedClip, from the lightness of its frames."""
    rgb = to_uint8(network_to_rgb(lightness, torch.zeros_like(lightness).repeat(1, 2, 1, 1)))
    return (rgb[:, 0, 0, 0].int() - 10).tolist()


def test_sample_without_augmentation_holds_the_very_frames():
    data = ClipDataset([CountedClip(29)], 5, references=ReferenceConfig(count=3))
    for epoch in range(20):
        sample = data.sample(0, epoch)
        assert sample["lightness"].shape == (5, 1, 11, 13)
        assert sample["ab"].shape == (5, 2, 11, 13)
        assert sample["references"].shape == (3, 3, 11, 13)
        assert sample["clip"] == "counted"
        assert levels(sample["lightness"]) == list(range(sample["start"], sample["start"] + 5))
        assert not set(levels(sample["references"][:, :1])) & set(levels(sample["lightness"]))


def test_color_of_the_sample_is_the_color_of_the_clip(tmp_path):
    true = torch.randint(
        0, 256, (3, 3, 17, 19), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    data = ClipDataset([FrameFolder(write_frames(true, tmp_path))], 2)
    sample = data.sample(0, 0)
    assert torch.equal(to_uint8(network_to_rgb(sample["lightness"], sample["ab"])), true[1:])
    lightness, ab = rgb_to_network(true[:1])
    torch.testing.assert_close(sample["references"], torch.cat((lightness, ab), dim=1))


def test_backwards_clip_counts_down_and_its_reference_comes_before_it():
    config = AugmentConfig(**{**NONE, "reverse": 1.0})
    data = ClipDataset([CountedClip(29)], 5, augment=config, references=ReferenceConfig(elsewhere=0.0))
    for epoch in range(20):
        sample = data.sample(0, epoch)
        start = sample["start"]
        assert levels(sample["lightness"]) == [start - i for i in range(5)]
        assert levels(sample["references"][:, :1])[0] > start


def test_flip_mirrors_clip_and_references_alike():
    clips = [SyntheticClip(0, 7, (32, 48))]
    plain = ClipDataset(clips, 3, augment=AugmentConfig(**NONE)).sample(0, 0)
    flipped = ClipDataset(clips, 3, augment=AugmentConfig(**{**NONE, "flip": 1.0})).sample(0, 0)
    for name in ("lightness", "ab", "references"):
        assert torch.equal(plain[name].flip(-1), flipped[name])


def test_crop_is_shared_by_clip_and_references():
    ramp = torch.arange(31 * 37).view(31, 37).remainder(251).to(torch.uint8).expand(9, 3, 31, 37).contiguous()

    class Still(CountedClip):
        def read(self, indices=None):
            return ramp[: len(list(indices))] if indices is not None else ramp

    data = ClipDataset([Still(9)], 3, (11, 13))
    places = set()
    for epoch in range(12):
        sample = data.sample(0, epoch)
        torch.testing.assert_close(sample["references"][0, :1], sample["lightness"][0])
        crop = to_uint8(network_to_rgb(sample["lightness"][0], sample["ab"][0]))[0]
        found = [
            (y, x)
            for y in range(21)
            for x in range(25)
            if torch.equal(ramp[0, 0, y : y + 11, x : x + 13], crop)
        ]
        assert found
        places.update(found)
    assert len(places) > 8
    assert max(y for y, _ in places) > 10
    assert max(x for _, x in places) > 12
    scaled = ClipDataset([Still(9)], 3, (11, 13), augment=AugmentConfig(**NONE, crop_scale=(2.0, 2.0)))
    assert scaled.sample(0, 0)["ab"].shape == (3, 2, 11, 13)


def test_references_cropped_apart_show_another_part_and_the_clip_none_other():
    references = ReferenceConfig(itself=1.0)
    clips = [SyntheticClip(seed, 6, (48, 64)) for seed in range(8)]
    together = ClipDataset(clips, 3, (32, 48), references=references, augment=AugmentConfig(**NONE))
    config = AugmentConfig(**NONE, apart=1.0)
    apart = ClipDataset(clips, 3, (32, 48), references=references, augment=config)
    for number in range(len(clips)):
        one, other = together.sample(number, 0), apart.sample(number, 0)
        assert torch.equal(one["references"][0, 1:], one["ab"][0])
        assert not torch.allclose(other["references"][0, 1:], other["ab"][0], atol=0.02)
        assert other["references"].shape == one["references"].shape
        assert torch.equal(one["ab"], other["ab"])


def test_without_a_hue_shift_colors_are_the_clips_own():
    config = {**NONE, "hue_shift_degrees": 180.0, "color_scale": (1.5, 1.5)}
    clips = [SyntheticClip(0, 6, (32, 48))]
    own = ClipDataset(clips, 3, augment=AugmentConfig(**NONE))
    never, always, half = (
        ClipDataset(clips, 3, augment=AugmentConfig(**config, hue_shift=share)) for share in (0.0, 1.0, 0.5)
    )
    same = []
    for epoch in range(20):
        truth = own.sample(0, epoch)["ab"][:, :, 0, 0].abs().sum()
        assert torch.equal(never.sample(0, epoch)["ab"][:, :, 0, 0].abs().sum(), truth)
        assert not torch.allclose(always.sample(0, epoch)["ab"][:, :, 0, 0].abs().sum(), truth)
        same.append(bool(half.sample(0, epoch)["ab"][:, :, 0, 0].abs().sum() == truth))
    assert 3 < sum(same) < 17


def test_samples_depend_on_seed_epoch_and_index_only():
    def build(seed: int = 3) -> ClipDataset:
        clips = [SyntheticClip(number, 8, (32, 48)) for number in range(4)]
        return ClipDataset(clips, 2, augment=AugmentConfig(), seed=seed)

    data, again = build(), build()
    _ = again.sample(2, 7), again.sample(0, 7)
    for name in ("lightness", "ab", "references"):
        assert torch.equal(data.sample(1, 0)[name], again.sample(1, 0)[name])
    assert not torch.equal(data.sample(1, 0)["lightness"], data.sample(1, 1)["lightness"])
    assert not torch.equal(data.sample(1, 0)["lightness"], build(4).sample(1, 0)["lightness"])


class Epoch(Dataset):
    """One epoch of a dataset, for a loader."""

    def __init__(self, data: ClipDataset, epoch: int) -> None:
        self.data, self.epoch = data, epoch

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        return self.data.sample(index, self.epoch)


@pytest.mark.parametrize("workers", [0, 2])
def test_any_number_of_workers_gives_the_same_epoch(workers):
    clips = [SyntheticClip(number, 6, (32, 48)) for number in range(5)]
    data = ClipDataset(clips, 2, augment=AugmentConfig())
    data.preload()
    loader = DataLoader(Epoch(data, 4), batch_size=2, num_workers=workers)
    for batch, indices in zip(loader, ((0, 1), (2, 3), (4,)), strict=True):
        expected = torch.stack([data.sample(index, 4)["ab"] for index in indices])
        assert torch.equal(batch["ab"], expected)


def test_memory_cache_decodes_once_and_preload_decodes_all():
    clips = [CountedClip(9), CountedClip(9)]
    data = ClipDataset(clips, 2)
    data.sample(0, 0), data.sample(0, 1)
    assert [clip.reads for clip in clips] == [1, 0]
    data.preload()
    assert [clip.reads for clip in clips] == [1, 1]
    bare = ClipDataset([CountedClip(9)], 2, cache="none")
    bare.sample(0, 0), bare.sample(0, 1)
    assert bare.clips[0].reads == 2


def test_mapped_cache_is_shared_between_runs_and_noticed_when_stale(tmp_path):
    first = ClipCache([CountedClip(9)], tmp_path / "cache")
    assert first.read(0, [8, 0])[:, 0, 0, 0].tolist() == [18, 10]
    second = ClipCache([CountedClip(9)], tmp_path / "cache")
    assert torch.equal(second.read(0, [3]), first.read(0, [3]))
    assert second.clips[0].reads == 0
    copy = pickle.loads(pickle.dumps(second))
    assert copy.read(0, [3])[0, 0, 0, 0] == 13
    assert len(pickle.dumps(second)) < 2000
    longer = ClipCache([CountedClip(10)], tmp_path / "cache")
    assert longer.read(0, [9])[0, 0, 0, 0] == 19
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == [".npy", ".npy"]


def test_cache_resizes_once():
    store = ClipCache([CountedClip(3)], "memory", size=(5, 7))
    assert store.read(0, [1]).shape == (1, 3, 5, 7)
    assert ClipCache([CountedClip(3)], "none", size=(5, 7)).read(0, [1]).unique().tolist() == [11]


def test_reference_ages_follow_the_exponential():
    config = ReferenceConfig(mean_age=6.0, elsewhere=0.0, max_age=40)
    generator = sample_generator(0)
    ages = torch.tensor(
        [100 - choose_references(120, 100, 5, config, generator)[0] for _ in range(4000)]
    ).double()
    assert ages.min() == 1
    assert ages.max() <= 40
    # A discrete exponential on 1, 2, ... has mean 1 / (1 - exp(-1/6)) = 6.51; the cut at 40 takes 0.05 of it.
    assert ages.mean().item() == pytest.approx(6.46, abs=0.3)


def test_references_lie_before_or_elsewhere_and_differ():
    generator = sample_generator(1)
    config = ReferenceConfig(count=4, elsewhere=0.5)
    seen = set()
    for _ in range(300):
        chosen = choose_references(23, 7, 5, config, generator)
        assert len(set(chosen)) == 4
        seen.update(chosen)
    assert seen == set(range(7)) | set(range(12, 23))
    assert choose_references(5, 0, 5, ReferenceConfig(), generator) == [0]
    assert choose_references(5, 0, 5, ReferenceConfig(count=2), generator) == [0, 0]
    assert choose_start(7, 6, generator) == 1


def test_noise_has_the_strength_asked_for_and_stays_in_range():
    grey = torch.zeros(40, 1, 31, 37)
    noisy = [add_lightness_noise(grey, 0.1, sample_generator(i)).std().item() for i in range(40)]
    assert max(noisy) < 0.11
    assert sum(noisy) / 40 == pytest.approx(0.05, abs=0.012)
    assert add_lightness_noise(torch.ones(2, 1, 5, 7), 1.0, sample_generator(0)).max() <= 1.0


def test_weakened_references_keep_lightness_and_hue():
    references = torch.rand(50, 3, 2, 3, generator=sample_generator(0))
    weak = weaken_color(references, 0.5, (0.2, 0.6), sample_generator(1))
    assert torch.equal(weak[:, 0], references[:, 0])
    factor = (weak[:, 1:] / references[:, 1:]).flatten(1)
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    changed = factor[:, 0] < 0.999
    assert 10 < changed.sum() < 40
    assert factor[changed].min() >= 0.2
    assert factor[changed].max() <= 0.6


def test_hue_shift_is_a_rotation():
    ab = torch.rand(2, 2, 3, 5, generator=sample_generator(0)) * 0.5
    torch.testing.assert_close(shift_hue(shift_hue(ab, 37.0, 1.0), -37.0, 1.0), ab)
    torch.testing.assert_close(shift_hue(ab, 113.0, 0.5).norm(dim=1), ab.norm(dim=1) * 0.5)
    assert shift_hue(torch.ones(2, 1, 1), 0.0, 3.0).max() == 1.0


def test_degraded_color_is_displaced_blurred_and_faded_but_near():
    ab = torch.full((2, 37, 53), 0.5)
    ab[:, :, 26:] = -0.5
    degraded = [degrade_color(ab, sample_generator(seed)) for seed in range(20)]
    for one in degraded:
        assert one.shape == ab.shape
        assert 0.4 - 1e-6 <= one[:, :, 0].min() <= one[:, :, 0].max() <= 0.5 + 1e-6
        assert one[:, :, -1].max() < -0.3
    assert torch.equal(degraded[0], degrade_color(ab, sample_generator(0)))
    assert not torch.equal(degraded[0], degraded[1])
    assert any((one[:, :, 24:28].diff(dim=-1).abs().amax() < 0.6).item() for one in degraded)


def test_window_stays_inside_and_keeps_the_shape():
    generator = sample_generator(0)
    for _ in range(200):
        top, left, height, width = choose_window((31, 53), (11, 17), (1.0, 9.0), generator)
        assert 0 <= top <= 31 - height
        assert 0 <= left <= 53 - width
        assert height / width == pytest.approx(11 / 17, rel=0.1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClipDataset([]), "at least one clip"),
        (lambda: ClipDataset([CountedClip(4)], 5), r"counted \(4\)"),
        (lambda: ClipDataset([CountedClip(9)], 0), "clip_length must be >= 1"),
        (lambda: ClipDataset([CountedClip(9)], 2, (99, 5)).sample(0, 0), r"\(99, 5\)"),
        (lambda: ClipDataset([CountedClip(9)], cache="disk"), "'disk'"),
        (lambda: ClipDataset([CountedClip(9)]).sample(0, -1), "must be >= 0"),
        (lambda: AugmentConfig(flip=1.5), "flip must be a probability"),
        (lambda: AugmentConfig(color_scale=(2.0, 1.0)), "color_scale must be"),
        (lambda: AugmentConfig(apart=1.5), "apart must be a probability"),
        (lambda: AugmentConfig(apart_scale=(0.0, 1.0)), "apart_scale must be"),
        (lambda: AugmentConfig(hue_shift=-0.5), "hue_shift must be a probability"),
        (lambda: AugmentConfig(noise=-1.0), "noise must be"),
        (lambda: AugmentConfig(hue_shift_degrees=200.0), "hue_shift_degrees"),
        (lambda: ReferenceConfig(count=0), "count >= 1"),
        (lambda: choose_references(5, 3, 3, ReferenceConfig(), sample_generator(0)), r"3\.\.5 must lie"),
        (lambda: sample_generator(-1), "must be >= 0"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("index", [-1, 3])
def test_a_clip_that_does_not_exist(index):
    with pytest.raises(IndexError, match=rf"clip {index} does not exist, expected 0\.\.2"):
        ClipDataset([CountedClip(9)] * 3).sample(index, 0)
