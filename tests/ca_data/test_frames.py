"""Clips as folders, and single images of every kind."""

import io

import numpy as np
import pytest
import torch
from ca_data import FrameFolder, list_clips, list_references, read_image, write_frames
from ca_data.stills import load_references
from PIL import Image, ImageCms


def frames(count: int, height: int = 5, width: int = 7, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def test_written_frames_are_read_back_bit_exact(tmp_path):
    true = frames(3)
    clip = FrameFolder(write_frames(true, tmp_path / "clip"))
    assert [file.name for file in clip.files] == ["00000.png", "00001.png", "00002.png"]
    assert (len(clip), clip.size, clip.name) == (3, (5, 7), "clip")
    assert torch.equal(clip.read(), true)
    assert torch.equal(clip.read([2, 0, 2, -1]), true[[2, 0, 2, 2]])


def test_write_frames_takes_an_iterator_and_a_start(tmp_path):
    true = frames(2)
    write_frames(iter(true), tmp_path, start=9)
    assert [file.name for file in FrameFolder(tmp_path).files] == ["00009.png", "00010.png"]


def test_names_are_ordered_by_number(tmp_path):
    true = frames(3)
    for name, frame in zip(("f10.png", "f2.PNG", "f1.png"), true, strict=True):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(tmp_path / name, format="PNG")
    (tmp_path / "._f1.png").write_bytes(b"not an image")
    (tmp_path / "notes.txt").write_text("not a frame")
    assert torch.equal(FrameFolder(tmp_path).read(), true[[2, 1, 0]])


def test_list_clips_finds_folders_and_takes_a_clip_itself(tmp_path):
    for name in ("b2", "b10", ".hidden"):
        write_frames(frames(1), tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert [clip.name for clip in list_clips(tmp_path)] == ["b2", "b10"]
    assert [clip.name for clip in list_clips(tmp_path / "b2")] == ["b2"]


def test_folder_errors(tmp_path):
    with pytest.raises(ValueError, match="nowhere does not exist"):
        FrameFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="nowhere does not exist"):
        list_clips(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no frames"):
        FrameFolder(tmp_path)
    with pytest.raises(ValueError, match="holds no clips"):
        list_clips(tmp_path)
    write_frames(frames(1, 5, 7), tmp_path)
    write_frames(frames(1, 5, 11), tmp_path, start=1)
    mixed = FrameFolder(tmp_path)
    for call in (mixed.read, mixed.check_sizes):
        with pytest.raises(ValueError, match=r"00000\.png is 7x5, 00001\.png is 11x5"):
            call()
    with pytest.raises(ValueError, match=r"frame 2 of .* does not exist, expected 0\.\.1"):
        mixed.read([2])
    with pytest.raises(ValueError, match="none"):
        mixed.read([])
    with pytest.raises(ValueError, match=r"uint8 of shape \(3, h, w\), got torch\.float32"):
        write_frames(torch.zeros(1, 3, 5, 7), tmp_path)


def test_signature_changes_with_the_files(tmp_path):
    clip = FrameFolder(write_frames(frames(2), tmp_path))
    before = clip.signature
    assert before == FrameFolder(tmp_path).signature
    write_frames(frames(1, seed=1), tmp_path, start=2)
    assert FrameFolder(tmp_path).signature != before


RED = (200, 30, 40)


def red(mode: str, **fill: object) -> Image.Image:
    return Image.new("RGB", (7, 5), RED).convert(mode, **fill)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("rgb.png", red("RGB")),
        ("opaque.png", red("RGBA")),
        ("palette.png", red("P", palette=Image.Palette.ADAPTIVE, colors=2)),
        ("cmyk.tif", red("CMYK")),
        ("plain.bmp", red("RGB")),
        ("plain.webp", red("RGB")),
    ],
)
def test_every_kind_of_image_gives_its_color(tmp_path, name, image):
    image.save(tmp_path / name, lossless=True)
    got = read_image(tmp_path / name)
    assert got.shape == (3, 5, 7)
    torch.testing.assert_close(got[:, 2, 3].float(), torch.tensor(RED).float(), atol=1.0, rtol=0)


def test_grey_and_sixteen_bit_grey(tmp_path):
    values = np.array([[0, 128, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png")[1, 0].tolist() == [0, 0, 1, 128, 255]
    Image.new("L", (7, 5), 77).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").unique().tolist() == [77]


def test_exif_rotation_is_applied_by_pixels_and_by_size(tmp_path):
    image = Image.new("RGB", (7, 5))
    image.putpixel((0, 0), (255, 255, 255))
    exif = image.getexif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    got = read_image(tmp_path / "turned.png")
    assert got.shape == (3, 7, 5)
    assert got[0, 0, 4] == 255
    assert FrameFolder(tmp_path).size == (7, 5)


def test_color_profile_is_followed_and_srgb_left_alone(tmp_path):
    linear_lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red("RGB").save(tmp_path / "srgb.png", icc_profile=srgb)
    assert read_image(tmp_path / "srgb.png")[:, 0, 0].tolist() == list(RED)
    red("RGB").save(tmp_path / "wrong.png", icc_profile=linear_lab)
    assert read_image(tmp_path / "wrong.png")[:, 0, 0].tolist() == list(RED)


def test_unreadable_images_give_one_line(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    whole = io.BytesIO()
    Image.fromarray(frames(1, 64, 64)[0].permute(1, 2, 0).numpy()).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:3000])
    Image.new("RGBA", (7, 5), (1, 2, 3, 100)).save(tmp_path / "clear.png")
    Image.fromarray(np.zeros((5, 7), np.float32)).save(tmp_path / "float.tif")
    for name, expected in (
        ("text.png", "not an image"),
        ("cut.png", "may be damaged"),
        ("clear.png", "transparent"),
        ("float.tif", "floating-point"),
        ("gone.png", "does not exist"),
    ):
        with pytest.raises(ValueError, match=expected) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_references_take_their_frame_from_the_name(tmp_path):
    names = {
        "shot_000040.png": 40,
        "shot_1234567.png": 1234567,
        "shot_00040.png": None,
        "000040.png": None,
        "0000874_out.png": None,
        "shot_000040_v2.png": None,
    }
    for name in names:
        Image.new("RGB", (7, 5), RED).save(tmp_path / name)
    stills = load_references(tmp_path)
    assert {still.path.name: still.frame for still in stills} == names
    assert stills[0].image.dtype == torch.uint8


def test_references_from_files_and_folders_keep_order_and_take_each_once(tmp_path):
    for name, size in (("a.png", (7, 5)), ("b.png", (11, 3))):
        Image.new("RGB", size).save(tmp_path / name)
    stills = load_references([tmp_path / "b.png", tmp_path])
    assert [(still.path.name, tuple(still.image.shape)) for still in stills] == [
        ("b.png", (3, 3, 11)),
        ("a.png", (3, 5, 7)),
    ]


def alpha_still(path, alpha, mode="RGBA"):
    """A red still with this alpha from left to right."""
    picture = Image.new("RGBA", (len(alpha), 5), (*RED, 255))
    picture.putalpha(Image.fromarray(np.tile(np.array(alpha, np.uint8), (5, 1))))
    picture.convert(mode).save(path)


def test_of_a_still_with_alpha_only_what_is_opaque_counts(tmp_path):
    alpha_still(tmp_path / "part.png", [0, 100, 127, 128, 200, 255, 255])
    (still,) = load_references(tmp_path / "part.png")
    assert still.opaque.shape == (1, 5, 7)
    assert still.opaque[0].tolist() == [[False] * 3 + [True] * 4] * 5
    assert still.image[:, 2, 5].tolist() == list(RED)
    with pytest.raises(ValueError, match="transparent parts; flatten"):
        read_image(tmp_path / "part.png")


@pytest.mark.parametrize("alpha", [[255] * 7, [200] * 7])
def test_alpha_that_hides_nothing_makes_no_partial_still(tmp_path, alpha):
    alpha_still(tmp_path / "whole.png", alpha)
    assert load_references(tmp_path / "whole.png")[0].opaque is None


def test_alpha_of_palettes_and_grey_stills(tmp_path):
    grey = Image.new("LA", (7, 5), (90, 255))
    grey.putpixel((2, 3), (90, 0))
    grey.save(tmp_path / "grey.png")
    Image.new("P", (7, 5), 1).save(tmp_path / "palette.png", transparency=0)
    stills = load_references(tmp_path)
    assert [still.opaque is None for still in stills] == [False, True]
    assert (~stills[0].opaque).nonzero().tolist() == [[0, 3, 2]]


def test_a_still_that_is_transparent_everywhere_is_refused(tmp_path):
    alpha_still(tmp_path / "clear.png", [0, 60, 127])
    with pytest.raises(ValueError, match=r"clear\.png is transparent everywhere; leave opaque"):
        load_references(tmp_path)


def test_references_are_named_without_being_opened(tmp_path):
    (tmp_path / "b2.png").write_text("no picture")
    (tmp_path / "b10.png").write_text("no picture")
    assert [file.name for file in list_references([tmp_path, tmp_path / "b2.png"])] == ["b2.png", "b10.png"]


def test_reference_errors(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        load_references(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        load_references([])
    with pytest.raises(ValueError, match=r"gone\.png does not exist"):
        load_references(str(tmp_path / "gone.png"))


def test_davis_layout_as_it_lies_in_the_shared_data(shared_data):
    clips = list_clips(shared_data / "davis")
    assert len(clips) == 12
    assert clips[0].name == "blackswan"
    assert (len(clips[0]), clips[0].size) == (50, (224, 384))
    assert clips[0].read([0, 49]).shape == (2, 3, 224, 384)
