"""The project's folder `FILM.coloralign/`: a TOML file, the stills, and kept work that git ignores."""

from __future__ import annotations

import fcntl
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

import tomli_w
from ca_data import write_atomically

from ca_film.errors import FilmError
from ca_film.project.model import Project, Shot, Still
from ca_film.tables import read_table

__all__ = ["SUFFIX", "ProjectFolder", "is_project", "project_folder"]

SUFFIX = ".coloralign"
_FILE = "project.toml"
_VERSION = 1
_HEADER = "# A film in work: see docs/studio.md. Frames count from 0; a shot lasts to the next one's start.\n"


def is_project(path: str | Path) -> bool:
    """Whether a path is a project's folder.

    Args:
        path: anything, also what is not there.
    """
    return (Path(path) / _FILE).is_file()


def project_folder(film: str | Path) -> Path:
    """Where the project of a film lies: beside it, under its name.

    Args:
        film: a video file or a folder of frames.

    Example:
        >>> project_folder("films/swan.mp4").name
        'swan.mp4.coloralign'
    """
    path = Path(film)
    return path.with_name(path.name + SUFFIX)


class ProjectFolder:
    """A project on disk.

    Args:
        path: the folder.

    Example:
        >>> import tempfile
        >>> folder = ProjectFolder(Path(tempfile.mkdtemp()) / "swan.mp4.coloralign")
        >>> folder.save(Project(folder.path.parent / "swan.mp4").cut(48))
        >>> folder.load().shots[1].start
        48
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: Any = None

    @property
    def stills(self) -> Path:
        """Folder of the stills; made."""
        return self._made("stills")

    @property
    def kept(self) -> Path:
        """Folder of work that can be made again; made, and ignored by git."""
        folder = self._made("kept")
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        return folder

    def load(self) -> Project:
        """Read the project.

        Raises:
            FilmError: if it is missing or not understood; the line names the file and the entry.
        """
        file = self.path / _FILE
        table = read_table(file, "project", "open the film to make one")
        try:
            return self._project(table)
        except (KeyError, TypeError, ValueError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FilmError(f"project {file}: {why}") from error

    def load_with_film(self) -> Project:
        """Read the project to work on it.

        Raises:
            FilmError: as `load`, and if its film is not there.
        """
        project = self.load()
        if not project.film.exists():
            raise FilmError(
                f"project {self.path}: its film {project.film} is not there; put it there or beside the project's "
                "folder, or correct 'film' in project.toml"
            )
        return project

    def save(self, project: Project) -> None:
        """Write the project; whatever happens, the file is the old one or the new one."""
        self.path.mkdir(parents=True, exist_ok=True)
        film = os.path.relpath(project.film.resolve(), self.path.resolve())
        table: dict[str, Any] = {
            "version": _VERSION,
            "film": Path(film).as_posix(),
            "surveyed": project.surveyed,
            "keep_colors": project.keep_colors,
        }
        table["network"] = {"size": f"{project.size[1]}x{project.size[0]}"}
        if project.weights is not None:
            table["network"]["weights"] = project.weights
        table["shots"] = [asdict(shot) for shot in project.shots]
        table["stills"] = [
            {name: value for name, value in asdict(still).items() if value is not None}
            for still in project.stills
        ]
        write_atomically(self.path / _FILE, _HEADER + tomli_w.dumps(table))

    def __enter__(self) -> Self:
        """Take the folder for one process: two that write would undo each other's changes.

        Raises:
            FilmError: if another process has it, or it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.kept / ".lock").open("w")
        except OSError as error:
            raise FilmError(
                f"project {self.path} cannot be written ({error.strerror}), and it has to lie beside the film; "
                "copy the film to a folder that can be written to"
            ) from error
        try:
            # The system lets go of the lock when the process ends, even a killed one.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise FilmError(f"project {self.path} is open in another process; close that one first") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder."""
        self._lock.close()

    def _made(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _film(self, noted: str) -> Path:
        """The film: where the project says, or else beside the folder, for both may have got another name."""
        film, folder = (self.path / noted).resolve(), self.path.resolve()
        beside = folder.with_name(folder.name.removesuffix(SUFFIX))
        return beside if beside.exists() and beside != folder and not film.exists() else film

    def _project(self, table: dict[str, Any]) -> Project:
        _only(table, {"version", "film", "surveyed", "keep_colors", "network", "shots", "stills"}, "the file")
        if table["version"] != _VERSION:
            raise FilmError(
                f"version must be {_VERSION}, got {table['version']}; use the program that wrote it"
            )
        network = table.get("network", {})
        _only(network, {"size", "weights"}, "[network]")
        width, height = (int(side) for side in str(network.get("size", "384x224")).split("x"))
        shots = tuple(_filled(Shot, shot, "[[shots]]") for shot in table.get("shots", [{}]))
        stills = tuple(_filled(Still, still, "[[stills]]") for still in table.get("stills", []))
        for still in stills:
            inside = (self.path / still.file).resolve().is_relative_to(self.path.resolve())
            if not inside or not (self.path / still.file).is_file():
                raise FilmError(
                    f"still {still.file} is not in the project's folder; put it there or remove the entry"
                )
        film = self._film(str(table["film"]))
        return Project(
            film,
            shots,
            stills,
            bool(table.get("surveyed", False)),
            network.get("weights"),
            (height, width),
            bool(table.get("keep_colors", False)),
        )


def _only(table: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise FilmError(f"{where} has an unknown entry '{unknown[0]}', expected {', '.join(sorted(known))}")


def _filled(kind: type, table: dict[str, Any], where: str) -> Any:
    _only(table, {field.name for field in fields(kind)}, where)
    if isinstance(table.get("shots"), list):
        table = {**table, "shots": tuple(int(frame) for frame in table["shots"])}
    return kind(**table)
