"""The VapourSynth function: values of the command line, luma untouched, properties followed and kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import ca_infer.cli
import numpy as np
import pytest
from ca_data import plane
from ca_film import ColorizeOptions, FilmError
from ca_vapoursynth import colorize

vs = pytest.importorskip("vapoursynth", reason="no VapourSynth here: its wheels need Python 3.12")


def planes(path: Path) -> list[list[np.ndarray]]:
    """Every plane of every frame of a film."""
    with av.open(str(path)) as film:
        return [[plane(frame, n).copy() for n in range(len(frame.planes))] for frame in film.decode(video=0)]


def clip_of(frames: list[list[np.ndarray]], form: int, **props: int) -> Any:
    """A clip with given planes."""
    height, width = frames[0][0].shape
    blank = vs.core.std.BlankClip(
        width=width, height=height, format=form, length=len(frames), fpsnum=24, fpsden=1
    )

    def fill(n: int, f: Any) -> Any:
        made = f.copy()
        for number in range(len(made)):
            np.asarray(made[number])[:] = frames[n][number]
        for name, value in props.items():
            made.props[name] = value
        return made

    return vs.core.std.ModifyFrame(blank, blank, fill)


def rendered(clip: Any) -> list[list[np.ndarray]]:
    return [[np.array(frame[n]) for n in range(len(frame))] for frame in clip.frames()]


def commanded(film: Path, still: Path, weights: Path, out: Path) -> list[list[np.ndarray]]:
    words = [str(film), "--refs", str(still), "-o", str(out), "--weights", str(weights), "--codec", "ffv1"]
    assert ca_infer.cli.main(["colorize", *words, "--device", "cpu", "--no-report"]) == 0
    return planes(out)


@pytest.mark.parametrize(
    ("stored", "form", "full"),
    [
        ("yuv420p", "YUV420P8", False),
        ("yuv422p10le", "YUV422P10", False),
        ("yuv444p16le", "YUV444P16", True),
        ("gray", "GRAY8", True),
        ("gray12le", "GRAY12", True),
    ],
)
def test_values_are_those_of_the_command_line(
    make_film: Callable[..., Path],
    still: Path,
    weights: Path,
    tmp_path: Path,
    stored: str,
    form: str,
    full: bool,
) -> None:
    film = make_film(pixel_format=stored, full_range=full)
    given = planes(film)
    code = getattr(vs, form, None) or vs.core.query_video_format(vs.GRAY, vs.INTEGER, 12).id
    clip = clip_of(given, code, _Range=int(full))
    options = ColorizeOptions(weights=str(weights), device="cpu")
    made = colorize(clip, still, options)
    expected = commanded(film, still, weights, tmp_path / "out.mkv")
    got = rendered(made)
    assert len(got) == len(expected)
    for ours, theirs, source in zip(got, expected, given, strict=True):
        assert np.array_equal(ours[0], source[0])
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one, other)


@pytest.fixture
def clip8(make_film: Callable[..., Path]) -> Any:
    return clip_of(planes(make_film()), vs.YUV420P8, _Range=0, _Matrix=1, Scene=7)


def test_frames_come_in_any_order(clip8: Any, still: Path, weights: Path) -> None:
    made = colorize(clip8, still, ColorizeOptions(weights=str(weights), device="cpu"))
    in_order = rendered(made)
    for number in (6, 0, 3, 2):
        frame = made.get_frame(number)
        assert np.array_equal(np.asarray(frame[1]), in_order[number][1])


def test_properties_are_followed_and_kept(clip8: Any, still: Path, weights: Path) -> None:
    made = colorize(clip8, still, ColorizeOptions(weights=str(weights), device="cpu"))
    props = made.get_frame(1).props
    assert props["Scene"] == 7
    assert props["_Matrix"] == 1
    assert props["_Range"] == 0


def test_fields_are_coloured_apart(make_film: Callable[..., Path], still: Path, weights: Path) -> None:
    given = planes(make_film())
    options = ColorizeOptions(weights=str(weights), device="cpu")
    whole = rendered(colorize(clip_of(given, vs.YUV420P8, _Range=0), still, options))
    fields = rendered(colorize(clip_of(given, vs.YUV420P8, _Range=0, _FieldBased=2), still, options))
    assert not np.array_equal(whole[3][1], fields[3][1])


def test_kept_colours_are_used_again_and_only_for_the_same(
    clip8: Any, still: Path, weights: Path, tmp_path: Path
) -> None:
    options = ColorizeOptions(weights=str(weights), device="cpu")
    first = rendered(colorize(clip8, still, options, keep=tmp_path / "kept"))
    (kept,) = (tmp_path / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    assert np.array_equal(
        rendered(colorize(clip8, still, options, keep=tmp_path / "kept"))[3][1], first[3][1]
    )
    assert kept.stat().st_mtime_ns == before
    other = vs.core.std.Invert(clip8, planes=[0])
    colorize(other, still, options, keep=tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("form", ["RGB24", "GRAYS"])
def test_other_clips_are_refused(form: str, still: Path) -> None:
    clip = vs.core.std.BlankClip(width=64, height=48, format=getattr(vs, form), length=2)
    with pytest.raises(FilmError, match="clip: expected GRAY or YUV of 8 to 16 bits"):
        colorize(clip, still)
