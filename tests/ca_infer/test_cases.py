"""Small films of other people that once failed, as the folder of cases beside the checkout has them."""

from pathlib import Path

import av
import pytest
from ca_infer.cli import main


@pytest.fixture(scope="session")
def cases(repository: Path) -> Path:
    path = repository.parent / "shared" / "cases"
    if not path.is_dir():
        pytest.skip("shared/cases is not beside the checkout")
    return path


@pytest.mark.parametrize("ending", ["mov", "mp4", "mkv"])
@pytest.mark.parametrize(
    ("film", "left_out"),
    [("01_timecode_track/tc_h264.mov", "data stream 1"), ("02_mp4_chapters/chap.mp4", "data stream 2")],
)
def test_streams_a_container_refuses_are_named_and_their_meaning_is_kept(
    film: str,
    left_out: str,
    ending: str,
    cases: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = cases / film, tmp_path / f"out.{ending}"
    still = source.parent / "still_000000.png"
    options = ["--weights", str(weights), "--size", "96x64", "--no-report"]
    assert main(["colorize", str(source), "--refs", str(still), "-o", str(out), *options]) == 0
    assert f"note: {left_out} " in capsys.readouterr().err
    with av.open(str(source)) as before, av.open(str(out)) as after:
        titles = [chapter["metadata"].get("title") for chapter in before.chapters()]
        assert [chapter["metadata"].get("title") for chapter in after.chapters()] == titles
        timecode = before.streams.video[0].metadata.get("timecode")
        kept = [*(stream.metadata for stream in after.streams), after.metadata]
        if timecode and ending != "mkv":
            assert timecode in [tags.get("timecode") for tags in kept]
        if timecode and ending == "mkv":
            assert timecode in [value for tags in kept for value in tags.values()]
        assert len(after.streams.audio) == len(before.streams.audio)


@pytest.mark.parametrize(
    ("film", "options", "name"),
    [
        ("one_frame.mp4", [], "o.mp4"),
        ("one_frame.mp4", [], "o"),
        ("five_frames.mp4", ["--cuts", "4"], "o.mp4"),
        ("five_frames.mp4", ["--segment", "1"], "o.mp4"),
    ],
)
def test_shots_and_segments_of_one_frame(
    film: str, options: list[str], name: str, cases: Path, weights: Path, tmp_path: Path
) -> None:
    folder = cases / "19_one_frame"
    common = ["--refs", str(folder / "refx.png"), "--weights", str(weights), "--size", "80x48"]
    assert main(["colorize", str(folder / film), "-o", str(tmp_path / name), *common, *options]) == 0
    assert (tmp_path / name).exists()
