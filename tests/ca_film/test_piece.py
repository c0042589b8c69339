"""A test piece: the film from one place to another, its sound cut to match, its time beginning at 0."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import plane
from ca_film import ColorizeOptions, FilmError, StillBinding, colorize, colorize_project, open_film, preview
from ca_film.options import Place
from ca_film.project import Project, ProjectFolder
from ca_film.source.piece import PieceFilm
from PIL import Image

MakeFilm = Callable[..., Path]


def options(still: Path, weights: Path, **changes: object) -> ColorizeOptions:
    base = {
        "references": (still,),
        "weights": str(weights),
        "size": (48, 80),
        "device": "cpu",
        "cuts": (),
    }
    return ColorizeOptions(**{**base, **changes})  # type: ignore[arg-type]


def luma(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, plane(frame, 0).tobytes()) for frame in container.decode(video=0)
        ]


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("ending", [".mkv", ".mov"])
@pytest.mark.parametrize(
    ("start", "end"), [(2, 5), (Fraction(2, 24), Fraction(5, 24)), (Fraction(17, 240), Fraction(41, 240))]
)
def test_a_piece_has_its_frames_and_its_sound_and_begins_at_zero(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, start: Place, end: Place, ending: str
) -> None:
    film = make_film("film.mov", sound="pcm_s16le", codec="prores", pixel_format="yuv422p10le")
    out, codec = tmp_path / f"out{ending}", "ffv1" if ending == ".mkv" else "prores"
    result = colorize(film, out, options(still, weights, start=start, end=end, codec=codec))
    assert result.frames == 3
    assert any("frames 2 to 4 of the film, from 0.08 s on" in note for note in result.notes)
    whole, piece = luma(film), luma(out)
    assert [when for when, _ in piece] == pytest.approx([0, 1 / 24, 2 / 24], abs=0.001)
    if ending == ".mkv":
        assert [codes for _, codes in piece] == [codes for _, codes in whole[2:5]]
    begin, stop = Fraction(2, 24), Fraction(5, 24)
    expected = [(when - begin, data) for when, data in sound(film) if begin <= when < stop]
    assert expected
    came = sound(out)
    assert [data for _, data in came] == [data for _, data in expected]
    for (one, _), (other, _) in zip(came, expected, strict=True):
        assert one == pytest.approx(other, abs=0.001)


def test_a_piece_of_a_folder_keeps_the_names_and_stills_their_frames(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    still = tmp_path / "still_000006.png"
    Image.fromarray(clip[6]).save(still)
    colorize(frames_folder, tmp_path / "out", options(still, weights, start=5, end=9))
    assert [file.name for file in sorted((tmp_path / "out").iterdir())] == [
        f"{n:05d}.png" for n in range(5, 9)
    ]
    own = np.asarray(Image.open(tmp_path / "out" / "00006.png")).astype(int)
    assert np.abs(own - clip[6]).mean() < 2
    result = colorize(frames_folder, tmp_path / "other", options(still, weights, start=7))
    assert result.frames == 4


def test_cuts_count_in_the_whole_film(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    result = colorize(make_film(), tmp_path / "out.mkv", options(still, weights, start=2, cuts=(1, 4)))
    assert (result.frames, result.shots) == (5, 2)
    sheet = preview(make_film("b.mkv"), tmp_path / "b_out.mkv", options(still, weights, start=2, cuts=(1, 4)))
    assert (sheet.frames, sheet.shots) == (5, 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"start": 7}, r"`start` 7 lies behind the film's end, which has 7 frames"),
        ({"end": 8}, r"`end` 8 lies behind"),
        ({"start": 4, "end": 4}, "not after `start`"),
        ({"start": Fraction(9)}, "`start` 9s lies behind"),
        ({"start": -1}, "must be 0 or more"),
    ],
)
def test_places_outside_are_refused(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, changes: dict, text: str
) -> None:
    with pytest.raises(FilmError, match=text):
        colorize(make_film(), tmp_path / "out.mkv", options(still, weights, **changes))
    assert not (tmp_path / "out.mkv").exists()


def test_what_a_piece_cannot_have_is_refused(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    bound = [StillBinding(still, shots=[1])]
    with pytest.raises(FilmError, match="whose numbers only the whole film gives"):
        colorize(make_film(), tmp_path / "out.mkv", options(still, weights, start=2, bindings=bound))
    with pytest.raises(FilmError, match="without timestamps of their own"):
        PieceFilm(open_film(make_film("stuck.mkv", timestamps=[0] * 7)), 2)
    folder = ProjectFolder(tmp_path / "film.mkv.coloralign")
    folder.save(Project(make_film()))
    for changes in ({"start": 2}, {"again": range(0, 2)}):
        with pytest.raises(FilmError, match="are for films"):
            colorize_project(folder.path, tmp_path / "out.mkv", ColorizeOptions(**changes))
