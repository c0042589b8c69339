"""Fixtures every test folder shares, among them small films and random tiny weights, made once per session."""

import os
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import ca_model
import numpy as np
import pytest
import torch
from ca_data import synthetic_clip
from PIL import Image

# Where bytecode is not kept, every process that a test starts compiles torch anew, for a quarter of a minute.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if "PYTEST_XDIST_WORKER" in os.environ:
    # One core each: threads of two processes on the same cores would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 46, 74


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and awkward media beside the checkout; a test that wants them skips where they are absent."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("shared/data is not beside the checkout: no real clips to test on")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest network."""
    path = tmp_path_factory.mktemp("weights") / "random-tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        ca_model.save_model(ca_model.create_model("tiny"), path, {"note": "random"})
    return path


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    """Eleven frames in colour, `t h w 3`."""
    return synthetic_clip(3, frames=11, size=(HEIGHT, WIDTH)).permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory, clip: np.ndarray) -> Path:
    """The first frame as a reference."""
    path = tmp_path_factory.mktemp("refs") / "still.png"
    Image.fromarray(clip[0]).save(path)
    return path


@pytest.fixture(scope="session")
def frames_folder(tmp_path_factory: pytest.TempPathFactory, clip: np.ndarray) -> Path:
    """The clip as a folder of PNG files."""
    folder = tmp_path_factory.mktemp("clip") / "frames"
    folder.mkdir()
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return folder


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """Writes a lossless film of noise with given timestamps, storage, range and sound."""

    def make(
        name: str = "film.mkv",
        *,
        timestamps: Sequence[int] = tuple(range(0, 7000, 1000)),
        time_base: Fraction = Fraction(1, 24000),
        pixel_format: str = "yuv420p",
        full_range: bool = False,
        sound: str = "",
        size: tuple[int, int] = (HEIGHT, WIDTH),
        rotation: int = 0,
        title: str = "",
        codec: str = "ffv1",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=24)
            stream.height, stream.width, stream.pix_fmt = *size, pixel_format
            stream.time_base = stream.codec_context.time_base = time_base
            stream.codec_context.color_range = 2 if full_range else 1
            if rotation:
                stream.set_display_rotation(rotation)
            if title:
                container.metadata["title"] = title
            voice = container.add_stream(sound, rate=8000, layout="mono") if sound else None
            for number, timestamp in enumerate(timestamps):
                container.mux(
                    stream.encode(_noise(number, size, pixel_format, full_range, timestamp, time_base))
                )
            container.mux(stream.encode(None))
            if voice is not None:
                samples = np.random.default_rng(1).integers(-9000, 9000, (1, 4000)).astype(np.int16)
                tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                tone.sample_rate, tone.pts = 8000, 0
                container.mux(voice.encode(tone))
                container.mux(voice.encode(None))
        return path

    return make


def _noise(
    number: int, size: tuple[int, int], pixel_format: str, full: bool, timestamp: int, time_base: Fraction
) -> av.VideoFrame:
    """A smooth picture that moves, plus noise, over the whole range of codes."""
    frame = av.VideoFrame(size[1], size[0], pixel_format)
    bits = frame.format.components[0].bits
    black, white = (0, (1 << bits) - 1) if full else (16 << (bits - 8), 235 << (bits - 8))
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = 0.5 + 0.45 * np.sin((columns + 3 * number) / 9.0) * np.cos(rows / 7.0)
    noise = np.random.default_rng(number).uniform(-0.04, 0.04, size)
    luma = np.rint(black + (white - black) * np.clip(wave + noise, 0.0, 1.0))
    luma[0, 0], luma[0, 1] = black, white
    for place, plane in enumerate(frame.planes):
        kind = np.uint8 if bits <= 8 else np.uint16
        view = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]
        view[:] = luma if place == 0 else 1 << (bits - 1)
    frame.pts, frame.time_base = timestamp, time_base
    return frame
