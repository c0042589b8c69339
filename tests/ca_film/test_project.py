"""Decisions about a film: edits that give new projects, and the folder they lie in."""

from pathlib import Path

import pytest
from ca_film import FilmError
from ca_film.project import ALL_SHOTS, Project, ProjectFolder, Shot, Still, next_frame
from ca_film.project.stretches import BACKWARD_REACH, mixture, plan_stretches

FILM = Path("film.mp4")


def test_cuts_are_made_moved_merged_and_keep_settings() -> None:
    project = Project(FILM).with_shot(Shot(0, saturation=1.3)).cut(40).cut(90)
    assert [shot.saturation for shot in project.shots] == [1.3, 1.3, 1.3]
    project = project.with_shot(Shot(40, grey=True)).move_cut(40, 50)
    assert project.shots[1] == Shot(50, grey=True)
    assert project.ranges(120) == [range(0, 50), range(50, 90), range(90, 120)]
    assert project.merge(50).shots == (Shot(0, 1.3), Shot(90, 1.3))
    assert project.with_cuts([60]).shots == (Shot(0, 1.3), Shot(60, grey=True))


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda project: project.merge(0), "first shot"),
        (lambda project: project.move_cut(40, 95), "between its neighbours"),
        (lambda project: project.move_cut(41, 60), "no cut at frame 41"),
        (lambda project: project.with_shot(Shot(0, saturation=5)), "saturation in 0..4"),
        (lambda project: project.with_still(Still("a.png")), "no own shot"),
        (lambda project: project.with_still(Still("a.png", 3, "some")), "own, all or frame numbers"),
    ],
)
def test_edits_that_make_no_sense_say_so(edit, text: str) -> None:
    with pytest.raises(FilmError, match=text):
        edit(Project(FILM).cut(40).cut(90))


def test_a_frame_has_one_still() -> None:
    project = Project(FILM).with_still(Still("a.png", 3)).with_still(Still("b.png", 9))
    changed = project.with_still(Still("c.png", 3, ALL_SHOTS))
    assert changed.stills == (Still("c.png", 3, ALL_SHOTS), Still("b.png", 9))
    assert changed.without_still("b.png").stills == (Still("c.png", 3, ALL_SHOTS),)


def folder_with_stills(tmp_path: Path, *names: str) -> ProjectFolder:
    folder = ProjectFolder(tmp_path / "film.mp4.coloralign")
    folder.path.mkdir()
    for name in names:
        (folder.stills / name).write_bytes(b"a picture")
    return folder


def test_a_project_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    folder = folder_with_stills(tmp_path, "frame_000003.png", "door.png")
    project = Project(tmp_path / "film.mp4", weights="base", size=(96, 160), surveyed=True).cut(7)
    project = project.with_shot(Shot(7, 0.5, 0.25, True)).with_still(Still("stills/frame_000003.png", 3))
    project = project.with_still(Still("stills/door.png", None, (0, 9)))
    folder.save(project)
    assert folder.load() == project
    assert 'film = "../film.mp4"' in (folder.path / "project.toml").read_text()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    folder.path.rename(moved / "film.mp4.coloralign")
    assert ProjectFolder(moved / "film.mp4.coloralign").load().film == moved / "film.mp4"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("version = 2", "version must be 1, got 2"),
        ("version = 1\ncolour = 3", "unknown entry 'colour'"),
        ("version = 1\n[[shots]]\nstart = 4", "start at 0"),
        ('version = 1\n[[stills]]\nfile = "../../secret.png"\nframe = 1', "not in the project's folder"),
        ("version = ", "no TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, line: str, text: str) -> None:
    folder = folder_with_stills(tmp_path)
    first, _, rest = line.partition("\n")
    (folder.path / "project.toml").write_text(f'film = "../film.mp4"\n{first}\n{rest}')
    with pytest.raises(FilmError, match=text):
        folder.load()


def test_a_folder_is_open_once(tmp_path: Path) -> None:
    path = tmp_path / "film.coloralign"
    with ProjectFolder(path), pytest.raises(FilmError, match="open in another process"), ProjectFolder(path):
        pass
    with ProjectFolder(path):
        pass


def test_a_still_reaches_its_neighbours_and_no_further() -> None:
    stills = tuple(Still(f"{frame}.png", frame) for frame in (10, 30, 50, 80))
    project = Project(FILM, stills=stills).cut(60)
    before = plan_stretches(project, 100)
    after = plan_stretches(project.with_still(Still("other.png", 30)), 100)
    changed = {frame for stretch in before if stretch not in after for frame in stretch.frames}
    assert changed == set(range(10, 51))
    # Every frame is coloured, by shares that sum to 1, and a still's own frame by itself.
    for frame in range(100):
        parts = mixture(frame, before)
        assert sum(share for _, share in parts) == pytest.approx(1.0)
    assert [stretch.anchor for stretch, _ in mixture(30, before)] == [stills[1]]


def test_stills_are_bound_to_shots() -> None:
    project = Project(FILM).cut(20).cut(40).with_shot(Shot(40, grey=True))
    own = project.with_still(Still("a.png", 5))
    assert {stretch.frames for stretch in plan_stretches(own, 60)} == {range(0, 6), range(5, 20)}
    everywhere = project.with_still(Still("a.png", 5, ALL_SHOTS))
    assert range(20, 40) in {stretch.frames for stretch in plan_stretches(everywhere, 60)}
    assert all(40 not in stretch.frames for stretch in plan_stretches(everywhere, 60))
    named = project.with_still(Still("a.png", None, (25,)))
    assert [stretch.frames for stretch in plan_stretches(named, 60)] == [range(20, 40)]
    assert mixture(3, plan_stretches(named, 60)) == []


def test_a_still_far_into_a_shot_is_not_awaited_from_its_beginning() -> None:
    project = Project(FILM, stills=(Still("a.png", 1000),))
    stretches = plan_stretches(project, 1200)
    assert [(s.frames, s.backward) for s in stretches] == [
        (range(0, 1000), False),
        (range(1001 - BACKWARD_REACH, 1001), True),
        (range(1000, 1200), False),
    ]
    assert [share for _, share in mixture(1001 - BACKWARD_REACH, stretches)][1] == 1 / BACKWARD_REACH


def test_advice_prefers_what_lacks_most() -> None:
    import numpy as np

    project = Project(FILM).cut(10).cut(40).with_shot(Shot(40, grey=True))
    covered = np.zeros(90, np.uint8)
    assert next_frame(project, covered) == 25
    covered[10:40] = 250
    assert next_frame(project, covered) == 5
    covered[:10] = 240
    assert next_frame(project, covered) is None
