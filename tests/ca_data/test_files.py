"""Files that are whole under their name or not there."""

import stat
from pathlib import Path

import pytest
from ca_data import files, write_atomically


def write_red(path: Path) -> None:
    path.write_bytes(b"red")


@pytest.mark.parametrize("content", ["red", b"red", write_red])
def test_text_bytes_and_a_function_replace_the_file(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "color.txt"
    path.write_text("grey, and longer")
    write_atomically(path, content)
    assert path.read_bytes() == b"red"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "atomic", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "color.txt"
    path.write_text("grey")

    def half(temporary: Path) -> None:
        temporary.write_text("re")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(path, half)
    assert path.read_text() == "grey"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "known")
    (tmp_path / ".color.txt.known.partial").symlink_to(precious)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "color.txt", "red")
    assert precious.read_text() == "keep"


def test_a_link_under_the_final_name_is_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / "color.txt").symlink_to(precious)
    write_atomically(tmp_path / "color.txt", "red")
    assert (precious.read_text(), (tmp_path / "color.txt").read_text()) == ("keep", "red")
    assert not (tmp_path / "color.txt").is_symlink()
