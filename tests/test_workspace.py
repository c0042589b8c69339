"""The house rules that no single package can test: who may import whom, and what every member brings along."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEMBERS = [ROOT / path for path in PROJECT["tool"]["uv"]["workspace"]["members"]]
NETWORK = {"ca_attention", "ca_align", "ca_swin"}
LIBRARIES = {"ca_model", "ca_losses", "ca_metrics", "ca_data"}
ALLOWED = {
    **{name: set() for name in NETWORK | LIBRARIES - {"ca_model"}},
    "ca_model": NETWORK,
    "ca_trainer": LIBRARIES,
    "ca_film": {"ca_model", "ca_data"},
    "ca_studio": {"ca_film", "ca_data"},
    "ca_comfy": {"ca_film", "ca_data"},
    "ca_vapoursynth": {"ca_film", "ca_data"},
    "ca_infer": {"ca_film", "ca_model", "ca_data", "ca_metrics"},
}


def module_of(member: Path) -> str:
    return project_of(member)["name"].replace("-", "_")


def project_of(member: Path) -> dict:
    return tomllib.loads((member / "pyproject.toml").read_text())["project"]


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.fixture(params=MEMBERS, ids=lambda path: path.name)
def member(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_arrows_run_one_way(member: Path) -> None:
    module = module_of(member)
    sources = list((member / "src" / module).rglob("*.py"))
    assert sources
    for file in sources:
        siblings = {name for name in imported(file) if name in ALLOWED} - {module}
        assert siblings <= ALLOWED[module], f"{file} imports {siblings - ALLOWED[module]}"


def test_declared_dependencies_are_the_arrows(member: Path) -> None:
    declared = {
        re.split(r"[\[<>=! ]", name)[0].replace("-", "_") for name in project_of(member)["dependencies"]
    }
    module = module_of(member)
    used = {
        name for file in (member / "src" / module).rglob("*.py") for name in imported(file) if name in ALLOWED
    } - {module}
    assert {name for name in declared if name in ALLOWED} == used


def test_member_is_complete(member: Path) -> None:
    project = project_of(member)
    for file in ("README.md", "CHANGELOG.md", "LICENSE", f"src/{module_of(member)}/py.typed"):
        assert (member / file).is_file(), f"{member.name} lacks {file}"
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == PROJECT["project"]["requires-python"]
    assert f"## {project['version']}" in (member / "CHANGELOG.md").read_text()


def test_public_names_are_declared_and_there(member: Path) -> None:
    module = __import__(module_of(member))
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_messages_of_libraries_name_no_option_of_a_program(member: Path) -> None:
    """Who calls a function has arguments; `ca_film.as_options` makes options of them where a program prints."""
    if member.parent.name != "packages":
        pytest.skip("a program")
    options = re.compile(r"(?<!\w)(?:-o|--(?:" + "|".join(infer_options()) + r"))\b")
    for file in (member / "src").rglob("*.py"):
        if file.name in ("__main__.py", "cli.py", "stress.py") or file.name == "options.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                assert not options.search(node.value), f"{file}, line {node.lineno}: {node.value}"


def infer_options() -> set[str]:
    """Long options of all commands of apps/infer, without dashes."""
    from ca_infer.cli import app

    return {
        name.removeprefix("--")
        for command in typer.main.get_command(app).commands.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


def test_root_depends_on_every_member_and_holds_every_source() -> None:
    names = {project_of(path)["name"] for path in MEMBERS}
    declared = {re.split(r"[\[<>=! ]", name)[0] for name in PROJECT["project"]["dependencies"]}
    assert declared == names
    assert PROJECT["tool"]["uv"]["sources"] == {name: {"workspace": True} for name in names}
    assert PROJECT["tool"]["uv"]["package"] is False


def test_nothing_tracked_names_a_download_host_or_is_a_lock_file() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines()]
    assert ROOT / "uv.lock" not in files
    hosts = re.compile(rb"files\.python" rb"hosted|py" rb"pi\.org")
    assert [file for file in files if file.is_file() and hosts.search(file.read_bytes())] == []


class Rooms(NamedTuple):
    """The rooms (subpackages) of a member.

    Args:
        imports: for each room the other rooms whose modules its own may import.
        above: modules beside the rooms that may import more than one of them; None for all.
    """

    imports: dict[str, set[str]]
    above: set[str] | None = None


ROOMS = {
    "ca_trainer": Rooms({"training": set(), "evaluation": set()}, above={"ablation", "cli"}),
    "ca_film": Rooms(
        {
            "source": set(),
            "network": {"source"},
            "output": {"source"},
            "project": {"source", "network", "output"},
            "batch": {"source", "network", "output", "project"},
        }
    ),
}


def run_time_imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements, those in functions included and those for a type checker alone left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from run_time_imports(other)
        else:
            yield from run_time_imports(child)


def import_graph(member: Path) -> dict[str, set[str]]:
    """For each module of a member the modules of the same member that it imports."""
    source = member / "src"
    files = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (source / module_of(member)).rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        named: set[str] = set()
        for node in run_time_imports(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
                continue
            assert not node.level, f"{file} imports relatively; name the module in full"
            each = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import name` takes a module of the package, or what the package itself holds
            named |= {name if name in files else node.module for name in each}
        graph[module] = named & set(files)
    return graph


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """All modules that importing one brings along."""
    found, waiting = set(), [start]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph[module]
    return found


def rooms_of(modules: set[str], rooms: Rooms) -> set[str]:
    return {
        part[1] for part in (name.split(".") for name in modules) if part[1:2] and part[1] in rooms.imports
    }


def test_no_module_imports_itself_in_a_circle(member: Path) -> None:
    try:
        TopologicalSorter(import_graph(member)).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_import_no_room_above_them(name: str) -> None:
    rooms = ROOMS[name]
    graph = import_graph(next(path for path in MEMBERS if module_of(path) == name))
    assert rooms_of(set(graph), rooms) == set(rooms.imports), "a room of the table is not there"
    for module in graph:
        (own,) = rooms_of({module}, rooms) or {""}
        seen = rooms_of(reached(graph, module), rooms) - {own}
        if own:
            allowed = rooms.imports[own]
            assert seen <= allowed, f"{module} must not import {', '.join(sorted(seen - allowed))}"
            above = {f"{name}.{other}" for other in rooms.above or ()} & graph[module]
            assert not above, f"{module} must not import {', '.join(sorted(above))}, which is above it"
        elif rooms.above is not None and module.split(".")[-1] not in rooms.above:
            assert len(seen) < 2, f"{module} imports {' and '.join(sorted(seen))}; only {rooms.above} may"
