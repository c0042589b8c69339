"""Exports: in order, past a broken film, and still there after a restart."""

import time
from pathlib import Path

import pytest
import torch
from ca_data import write_frames
from ca_film import FilmError
from ca_film.project import Project, ProjectFolder, project_folder
from ca_studio.queue import CANCELLED, DONE, FAILED, RUNNING, WAITING, Export, ExportQueue


@pytest.fixture
def project(tmp_path: Path) -> Path:
    film = write_frames(torch.randint(0, 255, (5, 1, 32, 48)).expand(-1, 3, -1, -1).byte(), tmp_path / "film")
    folder = ProjectFolder(project_folder(film))
    folder.save(Project(film, surveyed=True, size=(32, 48)))
    return folder.path


def wait(queue: ExportQueue) -> None:
    end = time.monotonic() + 120
    while any(export.state in (WAITING, RUNNING) for export in queue.exports):
        assert time.monotonic() < end, "the queue stands still"
        time.sleep(0.05)


def test_a_broken_film_does_not_stop_the_next(project: Path, tmp_path: Path) -> None:
    queue = ExportQueue(tmp_path / "queue.json")
    queue.add(Export(str(tmp_path / "none.coloralign"), str(tmp_path / "a")))
    queue.add(Export(str(project), str(tmp_path / "b")))
    wait(queue)
    queue.close()
    assert [export.state for export in queue.exports] == [FAILED, DONE]
    assert "cannot be read" in queue.exports[0].message
    assert len(list((tmp_path / "b").glob("*.png"))) == 5


def test_the_queue_survives_a_restart(project: Path, tmp_path: Path) -> None:
    paused = ExportQueue(tmp_path / "queue.json", paused=True)
    paused.add(Export(str(project), str(tmp_path / "out"), crf=20))
    paused.add(Export(str(project), str(tmp_path / "never")))
    paused.cancel(paused.exports[1])
    paused.exports[0].state = RUNNING  # as a killed process leaves it
    paused._save()
    with pytest.raises(FilmError, match="belongs to a studio that is running"):
        ExportQueue(tmp_path / "queue.json")
    paused.close()
    queue = ExportQueue(tmp_path / "queue.json")
    wait(queue)
    assert [(export.state, export.crf) for export in queue.exports] == [(DONE, 20), (CANCELLED, None)]
    assert (tmp_path / "out").is_dir()
    assert not (tmp_path / "never").exists()
    queue.resume(queue.exports[1])
    wait(queue)
    assert (tmp_path / "never").is_dir()
    queue.remove(queue.exports[0])
    queue.close()
    assert [export.state for export in ExportQueue(tmp_path / "queue.json", paused=True).exports] == [DONE]


def test_a_queue_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    (tmp_path / "queue.json").write_text("[{]")
    assert ExportQueue(tmp_path / "queue.json", paused=True).exports == []
