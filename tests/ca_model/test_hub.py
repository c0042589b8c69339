"""Uploading to a hub, against a stand-in that keeps what it is given: nothing leaves the machine."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from ca_model import ColorAlignNet, create_model


@pytest.fixture
def uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the stand-in keeps an upload."""
    kept = tmp_path / "hub"

    class Created:
        repo_id = "owner/name"

    def create(*_: object, **__: object) -> Created:
        return Created()

    def upload(_: object, *, folder_path: str | Path, **__: Any) -> str:
        shutil.copytree(folder_path, kept)
        return "uploaded"

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    return kept


def test_push_to_hub_uploads_config_weights_and_a_card(uploaded: Path) -> None:
    network = create_model("tiny").eval()
    network.push_to_hub("owner/name")
    assert {"config.json", "model.safetensors", "README.md"} <= {file.name for file in uploaded.iterdir()}
    assert not list(uploaded.glob("*.bin"))
    card = (uploaded / "README.md").read_text()
    assert card.startswith("---\n")
    again = ColorAlignNet.from_pretrained(str(uploaded))
    assert again.config == network.config
