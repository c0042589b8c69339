"""The folder of unfinished work."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ca_film import FilmError
from ca_film.output.sealed import SEAL_SIZE, GrowingFile, read_sealed
from ca_film.output.work import WorkFolder, file_signature
from ca_film.source.survey import Survey
from ca_model import create_model

SIGNATURE = {"input": "a", "weights": "b"}
PART = range(240, 480)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "film.mkv"


def keep_packets(work: WorkFolder) -> None:
    file = work.growing("packets", PART)
    file.write(b"packets")
    file.finish()


def names(out: Path) -> set[str]:
    return {path.name for path in out.with_name("film.mkv.partial").iterdir()}


def test_work_under_the_same_signature_goes_on(out: Path) -> None:
    survey = Survey([0, 3, 4], [3, 1, 0], cuts=[2], problems=["a packet"], notes=["a note"], anchors={"d": 1})
    with WorkFolder(out, SIGNATURE) as work:
        assert work.survey() is None
        work.keep_survey(survey)
        work.keep_array("coverage.npy", PART, np.arange(3))
        keep_packets(work)
        work.subfolder("frames").joinpath("a.png").touch()
    with WorkFolder(out, SIGNATURE) as work:
        assert work.started_afresh is None
        assert work.survey() == survey
        assert np.array_equal(work.array("coverage.npy", PART), np.arange(3))  # type: ignore[arg-type]
        assert work.array("coverage.npy", range(0, 240)) is None
        assert work.has("packets", PART)
        assert not work.has("packets", range(0, 240))
    expected = {".lock", "signature.json", "survey.json", "frames"}
    assert names(out) == expected | {"00000240-00000480.packets", "00000240-00000480.coverage.npy"}


def test_other_work_is_thrown_away_and_named(out: Path) -> None:
    with WorkFolder(out, SIGNATURE) as work:
        keep_packets(work)
        work.subfolder("frames").joinpath("a.png").touch()
    with WorkFolder(out, {**SIGNATURE, "weights": "c", "size": "d"}) as work:
        assert work.started_afresh == "size, weights"
    assert names(out) == {".lock", "signature.json"}


def test_restart_throws_away_without_a_word(out: Path) -> None:
    with WorkFolder(out, SIGNATURE) as work:
        keep_packets(work)
    with WorkFolder(out, SIGNATURE, restart=True) as work:
        assert work.started_afresh is None
        assert not work.has("packets", PART)


@pytest.mark.parametrize("torn", ['{"input": ', "[1]", ""])
def test_a_torn_signature_is_no_signature(out: Path, torn: str) -> None:
    with WorkFolder(out, SIGNATURE) as work:
        keep_packets(work)
    (out.with_name("film.mkv.partial") / "signature.json").write_text(torn)
    with WorkFolder(out, SIGNATURE) as work:
        assert not work.has("packets", PART)


def test_torn_parts_count_as_missing(out: Path) -> None:
    with WorkFolder(out, SIGNATURE) as work:
        work.file("coverage.npy", PART).write_bytes(b"\x93NUM")
        (out.with_name("film.mkv.partial") / "survey.json").write_text('{"timestamps": [0]}')
        (out.with_name("film.mkv.partial") / "00000240.state").write_bytes(b"torn")
        assert work.array("coverage.npy", PART) is None
        assert work.survey() is None
        assert work.state(240) is None
        assert work.damaged == ["00000240-00000480.coverage.npy", "00000240.state"]


def test_one_job_at_a_time_also_within_a_process(out: Path) -> None:
    with WorkFolder(out, SIGNATURE), pytest.raises(FilmError, match="another process is making it"):
        WorkFolder(out, SIGNATURE)
    with WorkFolder(out, SIGNATURE) as work:
        work.remove()
    assert not out.with_name("film.mkv.partial").exists()


def test_two_states_are_kept_and_come_back_as_they_were(out: Path) -> None:
    model = create_model("tiny").eval()
    frames = [torch.full((1, 1, 32, 48), value) for value in (0.0, 0.1, 0.2, 0.3, 0.4)]
    with torch.no_grad():
        outputs = list(model.stream(iter(frames), model.encode_references([torch.zeros(1, 3, 32, 48)])))
    states = [output.state for output in outputs]
    with WorkFolder(out, SIGNATURE) as work:
        for index, state in enumerate(states[:3]):
            work.keep_state(240 * (index + 1), state)
        assert work.state(240) is None, "only the last two are needed"
        for index in (1, 2):
            kept = work.state(240 * (index + 1))
            assert kept is not None
            expected, found = states[index].named_tensors(), kept.named_tensors()
            assert expected.keys() == found.keys()
            assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_growing_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "part.packets"
    file = GrowingFile(path)
    file.write(b"one")
    assert not path.exists()
    file.write(b"two")
    file.finish()
    assert read_sealed(path) == path.read_bytes()[:-SEAL_SIZE] == b"onetwo"
    GrowingFile(path).abandon()
    assert [left.name for left in tmp_path.iterdir()] == ["part.packets"]


def test_a_signature_changes_with_the_middle_of_a_file_and_with_a_folders_files(tmp_path: Path) -> None:
    film, folder = tmp_path / "film.mkv", tmp_path / "frames"
    folder.mkdir()
    film.write_bytes(b"abc")
    (folder / "1.png").write_bytes(b"abc")
    before = file_signature(film), file_signature(folder)
    assert (file_signature(film), file_signature(folder)) == before
    film.write_bytes(b"axc")
    (folder / "2.png").touch()
    assert file_signature(film) != before[0]
    assert file_signature(folder) != before[1]


def test_any_change_of_a_kept_file_is_found(out: Path) -> None:
    with WorkFolder(out, SIGNATURE) as work:
        keep_packets(work)
        path = work.file("packets", PART)
        whole = path.read_bytes()
        altered = [whole[:-1], whole[1:], b"", whole + b"x", b"q" + whole[1:], whole[:-3] + b"xyz"]
        for content in altered:
            path.write_bytes(content)
            assert not work.has("packets", PART)
            assert not path.exists(), "thrown away"
        path.write_bytes(whole)
        assert work.has("packets", PART)


@pytest.mark.parametrize("lock", [None, b"theirs"])
def test_a_folder_of_somebody_else_is_left_alone(out: Path, lock: bytes | None) -> None:
    folder = out.with_name("film.mkv.partial")
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    if lock is not None:
        (folder / ".lock").write_bytes(lock)
    before = sorted(path.name for path in folder.iterdir())
    for restart in (False, True):
        with pytest.raises(FilmError, match="not of ColorAlign"):
            WorkFolder(out, SIGNATURE, restart=restart)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_symbolic_links_are_not_followed(out: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    out.with_name("film.mkv.partial").symlink_to(precious)
    with pytest.raises(FilmError, match="not of ColorAlign"):
        WorkFolder(out, SIGNATURE)
    out.with_name("film.mkv.partial").unlink()
    out.with_name("film.mkv.partial").mkdir()
    (out.with_name("film.mkv.partial") / ".lock").symlink_to(precious / "thesis.txt")
    with pytest.raises(OSError, match="symbolic"):
        WorkFolder(out, SIGNATURE)
    assert [(path.name, path.read_text()) for path in precious.iterdir()] == [("thesis.txt", "years of work")]
    (out.with_name("film.mkv.partial") / ".lock").unlink()
    with WorkFolder(out, SIGNATURE) as work:
        (out.with_name("film.mkv.partial") / "link").symlink_to(precious)
    with WorkFolder(out, SIGNATURE, restart=True) as work:
        work.remove()
    assert (precious / "thesis.txt").exists()
