"""One clear line, exit code 2, and nothing left behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ca_model
import pytest
from ca_infer.cli import main
from PIL import Image


def run(capsys: pytest.CaptureFixture[str], *typed: object) -> tuple[int, str]:
    code = main([str(part) for part in typed])
    return code, capsys.readouterr().err


def check(capsys: pytest.CaptureFixture[str], place: Path, said: str, *typed: object) -> None:
    before = sorted(place.rglob("*"))
    code, err = run(capsys, *typed)
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert len(errors) == 1
    assert said in errors[0]
    assert err.splitlines() == errors
    assert sorted(place.rglob("*")) == before


def test_input(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    still: Path,
    weights: Path,
) -> None:
    out = tmp_path / "out.mp4"
    rest = ("--refs", still, "--weights", weights, "-o", out)
    check(capsys, tmp_path, "does not exist", "colorize", tmp_path / "none.mp4", *rest)
    text = tmp_path / "text.mp4"
    text.write_text("this is no film\n" * 50)
    check(capsys, tmp_path, "is not a readable video", "colorize", text, *rest)
    (tmp_path / "empty").mkdir()
    check(capsys, tmp_path, "holds no frames", "colorize", tmp_path / "empty", *rest)
    (tmp_path / "zero.mp4").touch()
    check(capsys, tmp_path, "is not a readable video", "colorize", tmp_path / "zero.mp4", *rest)
    uneven = tmp_path / "uneven"
    uneven.mkdir()
    for index, width in enumerate((40, 42)):
        Image.new("RGB", (width, 40)).save(uneven / f"{index}.png")
    check(capsys, tmp_path, "differ in size", "colorize", uneven, *rest)


def test_references(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, weights: Path, make_film: Callable[..., Path]
) -> None:
    film, out = make_film(), tmp_path / "out.mp4"
    rest = ("--weights", weights, "-o", out)
    check(capsys, tmp_path, "--refs must name at least one colour still", "colorize", film, *rest)
    (tmp_path / "refs").mkdir()
    check(capsys, tmp_path, "holds no images", "colorize", film, "--refs", tmp_path / "refs", *rest)
    check(capsys, tmp_path, "does not exist", "colorize", film, "--refs", tmp_path / "no.png", *rest)
    (tmp_path / "bad.png").write_text("no image")
    check(capsys, tmp_path, "not an image", "colorize", film, "--refs", tmp_path / "bad.png", *rest)
    Image.new("RGBA", (40, 40), (9, 9, 9, 100)).save(tmp_path / "alpha.png")
    check(capsys, tmp_path, "transparent", "colorize", film, "--refs", tmp_path / "alpha.png", *rest)


def test_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, still: Path, make_film: Callable[..., Path]
) -> None:
    film, out = make_film(), tmp_path / "out.mp4"
    rest = ("colorize", film, "--refs", still, "-o", out, "--weights")
    check(capsys, tmp_path, "'nonsense'", *rest, "nonsense")
    (tmp_path / "text.safetensors").write_text("no weights")
    check(capsys, tmp_path, "safetensors", *rest, tmp_path / "text.safetensors")
    misfit = tmp_path / "misfit.safetensors"
    ca_model.save_model(ca_model.create_model("tiny"), misfit)
    _damage(misfit)
    check(capsys, tmp_path, "do not fit", *rest, misfit)


def _damage(path: Path) -> None:
    """Take one tensor away."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        about, names = file.metadata(), list(file.keys())
        state = {name: file.get_tensor(name) for name in names[1:]}
    save_file(state, path, metadata=about)


def test_output(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    still: Path,
    weights: Path,
    make_film: Callable[..., Path],
) -> None:
    film = make_film()
    rest = ("colorize", film, "--refs", still, "--weights", weights, "-o")
    (tmp_path / "there.mp4").write_text("precious")
    check(
        capsys,
        tmp_path,
        "exists; choose another name with -o, or add --overwrite",
        *rest,
        tmp_path / "there.mp4",
    )
    check(capsys, tmp_path, "is also an input", *rest, film, "--overwrite")
    check(capsys, tmp_path, "unknown ending '.avi'", *rest, tmp_path / "out.avi")
    check(capsys, tmp_path, "ffv1 cannot go there", *rest, tmp_path / "out.webm", "--codec", "ffv1")
    check(capsys, tmp_path, "--codec 'wax' is unknown", *rest, tmp_path / "out.mp4", "--codec", "wax")
    check(capsys, tmp_path, "--pix-fmt 'rgb24'", *rest, tmp_path / "out.mp4", "--pix-fmt", "rgb24")
    check(capsys, tmp_path, "--crf has no meaning", *rest, tmp_path / "o.mkv", "--codec", "ffv1", "--crf", 3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    check(capsys, tmp_path, "exists", *rest, tmp_path / "folder")


def test_options(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    still: Path,
    weights: Path,
    make_film: Callable[..., Path],
) -> None:
    rest = ("colorize", make_film(), "--refs", still, "--weights", weights, "-o", tmp_path / "out.mp4")
    check(capsys, tmp_path, "--size: expected WIDTHxHEIGHT", *rest, "--size", "large")
    check(capsys, tmp_path, "got 'toaster'", *rest, "--device", "toaster")
    check(capsys, tmp_path, "--fps must", *rest, "--fps", "fast")
    check(capsys, tmp_path, "--cuts must", *rest, "--cuts", "1,two")
    check(capsys, tmp_path, "--range must be two", *rest, "--range", "12")
    check(capsys, tmp_path, "first below the second", *rest, "--range", "12:3")
    check(capsys, tmp_path, "is not there; colour the whole film first", *rest, "--range", "1:3")
    check(capsys, tmp_path, "--start must be a frame number or a time", *rest, "--start", "1.5")
    check(capsys, tmp_path, "lies behind the film's end", *rest, "--start", "9s")
    check(capsys, tmp_path, "give a later --end", *rest, "--start", "3", "--end", "2")
    check(capsys, tmp_path, "give one of them", *rest, "--range", "1:3", "--start", "3")
    check(capsys, tmp_path, "--png-depth must be 8 or 16", *rest, "--png-depth", "12")
    check(capsys, tmp_path, "No such option: --bogus", *rest, "--bogus")
    check(capsys, tmp_path, "No such command 'paint'", "paint")


def test_output_that_another_process_is_making(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    still: Path,
    weights: Path,
    make_film: Callable[..., Path],
) -> None:
    film, out = make_film(), tmp_path / "out.mp4"
    unfinished = tmp_path / "out.mp4.partial"
    unfinished.mkdir()
    (unfinished / "00000000-00000002.packets").write_text("theirs")
    (unfinished / ".lock").write_text("ColorAlign keeps unfinished work here\n")
    hold = (
        "import fcntl, sys; lock = open(sys.argv[1], 'r+'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(unfinished / ".lock")]
    typed = ("colorize", film, "--refs", still, "--weights", weights, "--size", "80x48", "-o", out)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        check(capsys, tmp_path, "another process is making it", *typed)
        check(capsys, tmp_path, "another process is making it", *typed, "--restart")
        other.communicate()
    assert run(capsys, *typed)[0] == 0
    assert out.exists()
    assert not unfinished.exists()
