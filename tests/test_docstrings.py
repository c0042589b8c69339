"""Every public name of every package explains itself: a summary, arguments, errors, the shapes of arrays."""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

PACKAGES = [
    "ca_attention",
    "ca_align",
    "ca_swin",
    "ca_losses",
    "ca_metrics",
    "ca_data",
    "ca_model",
    "ca_film",
    "ca_film.project",
    "ca_film.batch",
    "ca_trainer",
    "ca_comfy",
    "ca_vapoursynth",
]
SECTIONS = ("Args", "Returns", "Raises", "Yields", "Example", "Attributes")
# An array whose annotation gives no shape: `Tensor` that is not the first word inside `Float[Tensor, "..."]`.
BARE = re.compile(r"(?<!\w\[)\b(?:Tensor|ndarray|torch\.Tensor|np\.ndarray)\b(?!\, ['\"])")
# `a, b: what both are`; and how many arguments of a method its one sentence may speak for.
LISTED = r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \(.*\))?:"
MOST_IN_A_SUMMARY = 2
NAMED = re.compile(r"(?:dict|Mapping)\[str, (?:torch\.)?Tensor\]")  # each has a shape of its own
SHAPE = re.compile(
    r"`(?:\.\.\. ?)?(?:\d+|[a-z]\w*)(?: (?:\d+|[a-z]\w*|\.\.\.))*`|scalar|any shape|same shape"
)


class Public(NamedTuple):
    """A public function, class or method.

    Args:
        name: dotted.
        value: itself.
        text: its docstring; a class's also speaks for its constructor.
        parameters: names of what it is called with.
        method: whether it belongs to a class.
    """

    name: str
    value: Any
    text: str
    parameters: list[str]
    method: bool = False


def public_names() -> Iterator[Public]:
    """Everything that `__all__` lists, and the public methods of it that are ours."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                yield from of_class(f"{package}.{name}", value)
            elif inspect.isfunction(value):
                yield of_function(f"{package}.{name}", value)


def of_function(name: str, function: Callable[..., Any]) -> Public:
    parameters = [one for one in inspect.signature(function).parameters if one not in ("self", "cls")]
    return Public(name, function, own_text(function), parameters)


def of_class(name: str, kind: type) -> Iterator[Public]:
    constructor = kind.__dict__.get("__init__")
    if dataclasses.is_dataclass(kind):
        parameters = [field.name for field in dataclasses.fields(kind) if field.init]
    elif hasattr(kind, "_fields"):
        parameters = list(kind._fields)
    elif inspect.isfunction(constructor) and not getattr(kind, "_is_protocol", False):
        parameters = of_function(name, constructor).parameters
    else:
        parameters = []
    yield Public(name, kind, own_text(kind), [one for one in parameters if not one.startswith("_")])
    for member, value in vars(kind).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not member.startswith("_") and inspect.isfunction(function):
            inherited = any(hasattr(base, member) for base in kind.__mro__[1:]) and not function.__doc__
            if function.__module__.startswith("ca_") and not inherited:
                yield of_function(f"{name}.{member}", function)._replace(method=True)


def own_text(value: Any) -> str:
    """Docstring of a thing itself, not of what it inherits from."""
    return textwrap.dedent(inspect.cleandoc(value.__doc__ or ""))


def section(text: str, title: str) -> str | None:
    """Body of a section of a docstring."""
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n?|\n)*)", text, re.M)
    return found and found[1]


NAMES = list(public_names())


def each(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize("public", NAMES, ids=lambda public: public.name)(test)


@each
def test_it_has_a_summary_of_one_sentence(public: Public) -> None:
    first = public.text.split("\n\n")[0]
    assert first, "has no docstring of its own"
    assert first.rstrip().endswith((".", ":", "`")), first


@each
def test_its_arguments_are_explained(public: Public) -> None:
    if public.method and len(public.parameters) <= MOST_IN_A_SUMMARY:
        return
    if inspect.isclass(public.value):
        texts = [own_text(kind) for kind in public.value.__mro__ if kind.__module__.startswith("ca_")]
        named = set(re.findall(r"^ {4}(\w+): .*  # ", inspect.getsource(public.value), re.M))
    else:
        texts, named = [public.text], set()
    for text in texts:
        for title in ("Args", "Attributes"):
            for line in re.findall(LISTED, section(text, title) or "", re.M):
                named |= {word.lstrip("*") for word in line.split(", ")}
        named |= set(re.findall(r"`(\w+)(?:=\w+)?`", text))  # in a sentence
    missing = [one for one in public.parameters if one not in named]
    assert not missing or re.search(r"(?i)arguments as `", public.text), f"{missing} not explained"


@each
def test_what_it_raises_is_said(public: Public) -> None:
    function = public.value.__dict__.get("__init__") if inspect.isclass(public.value) else public.value
    if inspect.isclass(public.value) and dataclasses.is_dataclass(public.value):
        function = public.value.__dict__.get("__post_init__")
    if not inspect.isfunction(function) or getattr(public.value, "_is_protocol", False):
        return
    raised = raises(function, set())
    assert not raised or section(public.text, "Raises"), f"raises {raised}, and has no Raises section"


def raises(function: Callable[..., Any], seen: set[str]) -> set[str]:
    """Errors that a function, or a function of its module that it calls by name, raises."""
    seen.add(function.__name__)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    module = inspect.getmodule(function)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in seen:
            called = getattr(module, node.func.id, None)
            if inspect.isfunction(called) and called.__module__ == function.__module__:
                found |= raises(called, seen)
    caught = {
        ast.unparse(handler.type)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for handler in node.handlers
        if handler.type is not None
    }
    return {one for one in found if one.rsplit(".", 1)[-1] not in caught and one != "NotImplementedError"}


@each
def test_its_arrays_have_shapes(public: Public) -> None:
    value = public.value.__dict__.get("__init__") if inspect.isclass(public.value) else public.value
    hints = (
        {} if getattr(public.value, "_is_protocol", False) else dict(getattr(value, "__annotations__", {}))
    )
    if inspect.isclass(public.value):
        hints |= inspect.get_annotations(public.value)
    for name, hint in hints.items():
        words = hint if isinstance(hint, str) else inspect.formatannotation(hint)
        words = NAMED.sub("", words)
        if name not in ("return", *public.parameters) or not BARE.search(words):
            continue
        said = section(public.text, "Returns" if name == "return" else "Args") or ""
        said += public.text.split("\n\n")[0]
        assert SHAPE.search(said), f"{name}: {words} has no shape"


def test_it_is_about_all_of_them() -> None:
    assert len(NAMES) > 250
    assert all(isinstance(importlib.import_module(package), ModuleType) for package in PACKAGES)
