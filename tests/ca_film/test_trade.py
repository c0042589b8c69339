"""Films as studios hand them over: MXF, DNxHR, names that look like addresses."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from ca_film import ColorizeOptions, FilmError, colorize
from ca_film.source.video import VideoFilm


def options(still: Path, weights: Path, **more: object) -> ColorizeOptions:
    return ColorizeOptions(still, weights=str(weights), size=(32, 48), **more)  # type: ignore[arg-type]


def streams(path: Path) -> list[tuple[str, str]]:
    with av.open(str(path)) as file:
        return [(each.type, each.codec_context.name) for each in file.streams if each.codec_context]


@pytest.mark.parametrize("ending", ["mxf", "mov"])
def test_an_avid_film_stays_one(repository: Path, tmp_path: Path, weights: Path, ending: str) -> None:
    case = repository.parent / "shared" / "cases" / "18_avid_mxf"
    if not case.is_dir():
        pytest.skip("shared/cases is not beside the checkout: no Avid film to test on")
    out = tmp_path / f"out.{ending}"
    result = colorize(case / "film.mxf", out, options(case / "still_000000.png", weights))
    assert streams(out) == [("video", "dnxhd"), ("audio", "pcm_s24le")]
    assert (result.frames, result.notes) == (3, [])
    with av.open(str(out)) as file:
        codes = {file.metadata.get("timecode"), file.streams.video[0].metadata.get("timecode")}
    assert "10:00:00:00" in codes


def test_a_film_becomes_mxf(
    tmp_path: Path, still: Path, weights: Path, make_film: Callable[..., Path]
) -> None:
    out = tmp_path / "out.mxf"
    result = colorize(make_film(size=(128, 256)), out, options(still, weights, codec="dnxhr"))
    assert (result.frames, streams(out)) == (7, [("video", "dnxhd")])


def test_a_name_like_an_address_is_a_file(
    tmp_path: Path,
    still: Path,
    weights: Path,
    make_film: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_film().rename("http:film.mkv")
    result = colorize("http:film.mkv", "rtmp:out.mkv", options(still, weights))
    assert (result.frames, streams(tmp_path / "rtmp:out.mkv")) == (7, [("video", "ffv1")])


def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path, make_film: Callable[..., Path]) -> None:
    try:
        odd = make_film().rename(tmp_path / "fil\udce9m.mkv")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no names that are not UTF-8")
    with pytest.raises(FilmError, match=r"fil\?m\.mkv: the name is not UTF-8; rename the file"):
        VideoFilm(odd)
