"""Two small clips on disk that every test of this folder may read."""

from pathlib import Path

import pytest
from ca_data import synthetic_clip, write_frames


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips of 7 and 8 frames at 53 x 37 (W x H)."""
    root = tmp_path_factory.mktemp("davis")
    write_frames(synthetic_clip(1, frames=7, size=(37, 53)), root / "boat")
    write_frames(synthetic_clip(2, frames=8, size=(37, 53)), root / "kite")
    return root
