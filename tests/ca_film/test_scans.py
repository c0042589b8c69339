"""Folders of scans: their depth, their endings, their numbers."""

from pathlib import Path

import av
import numpy as np
import OpenImageIO as oiio
import pytest
from ca_data import plane, rgb_to_lab
from ca_film import ColorizeOptions, FilmError, colorize, open_film
from ca_film.source.scans import list_frames, read_frame, read_header
from PIL import Image

SIZE = (48, 64)


def options(still: Path, weights: Path, **more: object) -> ColorizeOptions:
    return ColorizeOptions(still, weights=str(weights), size=SIZE, **more)  # type: ignore[arg-type]


def write(path: Path, pixels: np.ndarray, **attributes: int) -> Path:
    """One image as a scanner's software writes it."""
    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, str(pixels.dtype))
    for name, value in attributes.items():
        spec.attribute({"bits": "oiio:BitsPerSample"}.get(name, name), value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(pixels)
    out.close()
    return path


def ramp(channels: int = 1, step: int = 1) -> np.ndarray:
    """Neighbouring 16-bit codes, each once."""
    codes = 20000 + step * np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(*SIZE, 1)
    return np.repeat(codes, channels, axis=2)


def luma_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as film:
        return plane(next(film.decode(video=0)), 0).copy()


@pytest.mark.parametrize("ending", ["png", "tif", "dpx"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_read(tmp_path: Path, ending: str, channels: int) -> None:
    file = write(tmp_path / f"f.{ending}", ramp(channels))
    assert (read_header(file).size, read_header(file).bits) == (SIZE, 16)
    assert np.array_equal(read_frame(file, 16).numpy(), ramp(3).transpose(2, 0, 1))


def test_a_dpx_of_ten_bits_keeps_its_codes(tmp_path: Path) -> None:
    codes = np.arange(1024, dtype=np.uint32).reshape(16, 64, 1)
    spread = np.repeat((codes * 65535 // 1023).astype(np.uint16), 3, axis=2)
    write(tmp_path / "f_1.dpx", spread, bits=10)
    film = open_film(tmp_path)
    assert (film.format.coding.bits, film.format.pixel_format) == (10, "rgb48le")
    (frame,) = film.frames()
    assert np.array_equal(frame.luma, codes[..., 0])


def test_exr_is_linear_light(tmp_path: Path) -> None:
    light = np.zeros((4, 4, 3), np.float32)
    light[..., :] = np.array([0.0, 0.0021, 0.2140411, 2.0], np.float32)[:, None]
    light[0, 0] = np.nan
    write(tmp_path / "f_1.exr", light)
    film = open_film(tmp_path)
    (frame,) = film.frames()
    assert frame.rgb is not None
    assert frame.rgb[0, 0].tolist() == frame.rgb[1, 0].tolist()
    # Half floats hold 11 bits.
    assert frame.rgb[0, 0].tolist() == pytest.approx([0, 12.92 * 0.0021 * 65535, 32768, 65535], abs=8)
    assert [note for note in film.notes if "linear light" in note and "above 1 is clipped" in note]


def test_a_turned_tiff_is_upright(tmp_path: Path) -> None:
    file = write(tmp_path / "f.tif", ramp(), Orientation=6)
    assert read_header(file).size == SIZE[::-1]
    assert np.array_equal(read_frame(file, 16)[0].numpy(), np.rot90(ramp()[..., 0], -1))


def test_luma_of_sixteen_bits_is_kept(tmp_path: Path, still: Path, weights: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write(folder / "f_1.png", ramp())
    made = tmp_path / "out.mkv"
    colorize(folder, made, options(still, weights, codec="ffv1", pixel_format="yuv420p16le"))
    assert np.array_equal(luma_of(made), ramp()[..., 0])


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_frames_come_out_in_sixteen_bits(tmp_path: Path, still: Path, weights: Path, ending: str) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write(folder / "f_1.tif", ramp())
    colorize(folder, tmp_path / "out", options(still, weights, png_depth=16, frames=ending))
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"f_1.{ending}"]
    pixels = read_frame(tmp_path / "out" / f"f_1.{ending}", 16)
    lightness = rgb_to_lab(pixels.float() / 65535)[0].numpy()
    wanted = rgb_to_lab(read_frame(folder / "f_1.tif", 16).float() / 65535)[0].numpy()
    # A step of the 16-bit grey is 0.0017 of L here.
    assert np.abs(lightness - wanted).max() < 0.0017
    colored = open_film(tmp_path / "out")
    assert colored.format.coding.bits == 16


def test_depth_that_is_not_written_is_named(tmp_path: Path, still: Path, weights: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    write(folder / "f_1.png", ramp())
    result = colorize(folder, tmp_path / "out", options(still, weights))
    assert [note for note in result.notes if "`png_depth` 16 keeps" in note]


def test_what_is_passed_over_and_what_is_missing_is_named(tmp_path: Path) -> None:
    for name in ("f_0001.png", "f_0002.png", "f_0005.png", "f_0003.bmp", "f_0004.bmp"):
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    (tmp_path / ".hidden").touch()
    (tmp_path / "readme").touch()
    film = open_film(tmp_path)
    assert len(list(film.frames())) == 3
    passed, gap = film.notes
    assert "passed over: 2 of .bmp, 1 of no ending" in passed
    assert gap.startswith("frame numbers have gaps, 2 missing: f_0002 to f_0005")


def test_frames_of_eight_bits_are_read_as_before(frames_folder: Path, clip: np.ndarray) -> None:
    film = open_film(frames_folder)
    assert (film.notes, film.format.pixel_format, film.format.coding.full_range) == ([], "rgb24", False)
    for frame, true in zip(film.frames(), clip, strict=True):
        assert frame.luma.dtype == np.uint8
        assert np.array_equal(frame.rgb, true.transpose(2, 0, 1))


def test_eight_bits_among_sixteen_are_spread(tmp_path: Path) -> None:
    Image.fromarray(np.full((*SIZE, 3), 200, np.uint8)).save(tmp_path / "f_1.png")
    write(tmp_path / "f_2.png", ramp())
    first, _ = open_film(tmp_path).frames()
    assert first.rgb is not None
    assert set(first.rgb.flatten().tolist()) == {200 * 257}


@pytest.mark.parametrize("ending", ["png", "tif", "dpx", "exr"])
def test_a_broken_frame_is_one_line(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"f_1.{ending}").write_bytes(b"no picture\n" * 9)
    with pytest.raises(FilmError, match=rf"f_1\.{ending} is not an image in a known format") as failure:
        open_film(tmp_path)
    assert "\n" not in str(failure.value)


def test_a_cut_frame_is_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3)).astype(np.uint16)
    file = write(tmp_path / "f_1.tif", noise)
    file.write_bytes(file.read_bytes()[: SIZE[0] * SIZE[1] * 3])
    with pytest.raises(FilmError, match=r"f_1\.tif") as failure:
        list(open_film(tmp_path).frames())
    assert "\n" not in str(failure.value)


def test_transparent_frames_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "f_1.tif", np.concatenate([ramp(3), ramp()], axis=2), **{"oiio:UnassociatedAlpha": 1})
    with pytest.raises(FilmError, match="has transparent parts"):
        list(open_film(tmp_path).frames())


@pytest.mark.parametrize("kind", ["tif", "dpx"])
def test_scans_that_came(repository: Path, kind: str) -> None:
    case = repository.parent / "shared" / "cases" / "12_tiff_dpx_sequence" / kind
    if not case.is_dir():
        pytest.skip("shared/cases is not beside the checkout: no scans to test on")
    film = open_film(case)
    frames = list(film.frames())
    assert len(frames) == len(list_frames(case)[0]) >= 3
    assert len(np.unique(frames[0].luma)) > 600


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_one_picture_in_and_one_out(tmp_path: Path, still: Path, weights: Path, ending: str) -> None:
    photo = write(tmp_path / "photo.png", ramp())
    out = tmp_path / f"one.{ending}"
    result = colorize(photo, out, options(still, weights, png_depth=16))
    assert (result.out, result.frames, result.notes) == (out, 1, [])
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([out.name, "photo.png"])
    assert (read_header(out).bits, read_header(out).size) == (16, SIZE)
    with pytest.raises(FilmError, match="exists"):
        colorize(photo, out, options(still, weights))
    colorize(photo, out, options(still, weights, overwrite=True))
    assert read_header(out).bits == 8
