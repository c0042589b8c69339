"""Some frames of an output coloured again: the rest stays, bit by bit."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import plane
from ca_film import Cancelled, ColorizeOptions, FilmError, Look, Progress, colorize
from ca_film.output.renewal import split_around, touched

MakeFilm = Callable[..., Path]
PALE = Look(saturation=0.5)


def options(still: Path, weights: Path, **changes: object) -> ColorizeOptions:
    base = {
        "references": (still,),
        "weights": str(weights),
        "size": (48, 80),
        "device": "cpu",
        "cuts": (),
        "segment": 3,
    }
    return ColorizeOptions(**{**base, **changes})  # type: ignore[arg-type]


def packets(path: Path) -> list[tuple[int, bytes]]:
    """Timestamps and bytes of the coloured packets, in the order shown."""
    with av.open(str(path)) as container:
        return sorted((p.pts, bytes(p)) for p in container.demux(video=0) if p.size)


def planes(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            np.concatenate([plane(frame, i).ravel() for i in range(3)]) for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize(
    ("ending", "codec", "sound"),
    [
        (".mp4", None, "aac"),
        (".mkv", None, ""),
        (".mkv", "hevc", ""),
        (".mkv", "ffv1", ""),
        (".mov", "prores", ""),
    ],
)
def test_only_the_segments_that_the_range_touches_change(
    make_film: MakeFilm,
    still: Path,
    weights: Path,
    tmp_path: Path,
    ending: str,
    codec: str | None,
    sound: str,
) -> None:
    film, out, whole = make_film(sound=sound), tmp_path / f"out{ending}", tmp_path / f"whole{ending}"
    colorize(film, out, options(still, weights, codec=codec))
    before, shown = packets(out), planes(out)
    # The same again is the same, byte by byte; and so is what the whole film would have been.
    same = out.read_bytes()
    colorize(film, out, options(still, weights, codec=codec, again=range(3, 6)))
    assert out.read_bytes() == same
    result = colorize(film, out, options(still, weights, codec=codec, look=PALE, again=range(4, 5)))
    assert any("frames 3 to 5 are made again" in note for note in result.notes)
    colorize(film, whole, options(still, weights, codec=codec, look=PALE))
    after, pale = packets(out), packets(whole)
    assert after[:3] + after[6:] == before[:3] + before[6:]
    assert after[3:6] == pale[3:6]
    now = planes(out)
    assert [np.array_equal(a, b) for a, b in zip(shown, now, strict=True)] == [True] * 3 + [False] * 3 + [
        True
    ]
    assert not (tmp_path / f"out{ending}.partial").exists()


def test_of_a_folder_exactly_the_range_changes(
    frames_folder: Path, still: Path, weights: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    colorize(frames_folder, out, options(still, weights))
    before = [file.read_bytes() for file in sorted(out.iterdir())]
    (out / "notes.txt").write_text("mine")
    colorize(frames_folder, out, options(still, weights, look=PALE, again=range(4, 8)))
    colorize(frames_folder, whole, options(still, weights, look=PALE))
    pale = [file.read_bytes() for file in sorted(whole.iterdir())]
    after = [file.read_bytes() for file in sorted(out.glob("*.png"))]
    assert after == before[:4] + pale[4:8] + before[8:]
    assert (out / "notes.txt").read_text() == "mine"


def test_a_cancelled_range_leaves_the_output_and_goes_on(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    film, out = make_film(), tmp_path / "out.mkv"
    colorize(film, out, options(still, weights))
    before, same = packets(out), out.read_bytes()

    class Stop(Progress):
        left = 3

        def stage(self, name: str, total: int | None) -> None:  # noqa: ARG002
            self.colors = name == "colouring"

        def advance(self, count: int = 1) -> None:  # noqa: ARG002
            self.left -= self.colors

        def cancelled(self) -> bool:
            return self.left < 0

    wanted = options(still, weights, look=PALE, again=range(3, 7))
    with pytest.raises(Cancelled):
        colorize(film, out, wanted, Stop())
    assert out.read_bytes() == same
    colorize(film, out, wanted)
    assert packets(out)[:3] == before[:3]
    assert packets(out)[3:] != before[3:]


def test_what_does_not_fit_is_refused_and_nothing_is_touched(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    film, out = make_film(), tmp_path / "out.mkv"
    with pytest.raises(FilmError, match="is not there; colour the whole film first"):
        colorize(film, out, options(still, weights, again=range(3, 6)))
    colorize(film, out, options(still, weights))
    same = out.read_bytes()
    for changes, text in (
        ({"again": range(3, 8)}, r"frames are 0 to 6; write 3:7 at most"),
        ({"again": range(3, 6), "segment": 4}, "`cuts` and `segment` that it was made with"),
        ({"again": range(3, 6), "codec": "hevc"}, "`codec` and `pixel_format`"),
    ):
        with pytest.raises(FilmError, match=text):
            colorize(film, out, options(still, weights, **changes))
    other = make_film("other.mkv", timestamps=range(0, 6000, 1000))
    with pytest.raises(FilmError, match="no output of this film"):
        colorize(other, out, options(still, weights, again=range(0, 2)))
    assert out.read_bytes() == same
    assert not (tmp_path / "out.mkv.partial").exists()
    with pytest.raises(FilmError, match="first below the second"):
        ColorizeOptions(again=range(6, 3))
    with pytest.raises(FilmError, match="give one of them"):
        ColorizeOptions(again=range(3, 6), start=2)


def test_ranges_and_segments() -> None:
    segments = [range(0, 4), range(4, 7)]
    assert touched(segments, range(4, 5)) == [range(4, 7)]
    assert touched(segments, range(3, 5)) == segments
    assert split_around(segments, range(4, 7)) == segments
    assert split_around(segments, range(5, 6)) == [range(0, 4), range(4, 5), range(5, 6), range(6, 7)]
