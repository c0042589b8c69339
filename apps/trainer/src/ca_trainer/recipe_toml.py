"""Recipes as TOML files: read a named one or a file, override single values, write the resolved one."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import Recipe

RECIPES_FOLDER = Path(__file__).parent / "recipes"
Built = TypeVar("Built")

_RENAMED = {  # keys of recipes that older runs have stored
    "references.worn": "references.degraded",
    "augment.turn": "augment.hue_shift",
    "augment.turn_degrees": "augment.hue_shift_degrees",
}
_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a string", tuple: "a list"}


def recipe_names() -> list[str]:
    """Names of the recipes that come with the trainer.

    Example:
        >>> "demo" in recipe_names()
        True
    """
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.toml"))


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a `.toml` file and apply `path.to.field=value` overrides.

    Args:
        name_or_path: one of `recipe_names()`, or a path that ends in `.toml`.
        overrides: strings such as `"optimizer.learning_rate=1e-4"`; the value is TOML, a bare word is a
        string.

    Returns:
        The validated recipe.

    Raises:
        TrainerError: unknown recipe, unreadable file, unknown key, value of a wrong type or out of range.

    Example:
        >>> load_recipe("demo", ["steps=7"]).steps
        7
    """
    return parse_recipe(_read_text(name_or_path), overrides, origin=name_or_path)


def parse_recipe(text: str, overrides: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """Build a recipe from TOML text.

    Args:
        text: TOML; tables are the fields of `Recipe`.
        overrides: further values, `section.key=value` each, the value as TOML has it.
        origin: where the text is from, for errors.

    Raises:
        TrainerError: if it is no TOML, or a value is unknown or makes no sense.

    Example:
        >>> parse_recipe('name = "mine"\\nsteps = 3\\ndata.size = [32, 48]').name
        'mine'
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrainerError(f"{origin}: not readable as TOML: {error}") from None
    for override in overrides:
        _apply_override(table, override)
    return _build(Recipe, table, "")


def recipe_to_toml(recipe: Recipe) -> str:
    """Write every field of a recipe, defaults included, as TOML that reads back equal.

    Args:
        recipe: any.

    Example:
        >>> recipe = load_recipe("demo")
        >>> parse_recipe(recipe_to_toml(recipe)) == recipe
        True
    """
    return "\n".join(_table_lines(asdict(recipe), "")) + "\n"


def changed_fields(before: Recipe, after: Recipe) -> list[str]:
    """Dotted names of the values in which two recipes differ.

    Example:
        >>> changed_fields(load_recipe("demo"), load_recipe("demo", ["data.batch=8"]))
        ['data.batch']
    """
    first, second = _flat(asdict(before)), _flat(asdict(after))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def lookup_field(recipe: Recipe, field: str) -> Any:
    """The value behind a dotted name; None where a recipe has no such value.

    Example:
        >>> lookup_field(load_recipe("demo"), "model.preset")
        'tiny'
    """
    return _flat(asdict(recipe)).get(field)


def _read_text(name_or_path: str) -> str:
    path = Path(name_or_path)
    if name_or_path in recipe_names():
        path = RECIPES_FOLDER / f"{name_or_path}.toml"
    elif path.suffix != ".toml":
        raise TrainerError(
            f"--recipe: expected one of {', '.join(recipe_names())} or a .toml file, got {name_or_path!r}"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"--recipe: cannot read {name_or_path}: {error}") from None


def _apply_override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names):
        raise TrainerError(f"--set: expected path.to.field=value, got {override!r}")
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise TrainerError(f"--set: {name!r} in {key!r} is a value, not a section")
    table[names[-1]] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word: shells eat the quotes TOML wants


def _build(cls: type[Built], table: Mapping[str, Any], prefix: str) -> Built:
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    types = get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if prefix + key in _RENAMED:
            raise TrainerError(f"recipe: '{prefix}{key}' is called '{_RENAMED[prefix + key]}' now; rename it")
        if key not in known:
            raise TrainerError(
                f"recipe: unknown key '{prefix}{key}'; the nearest valid one is {_nearest(prefix + key)}"
            )
        values[key] = _convert(types[key], value, prefix + key)
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise TrainerError(f"recipe: '{prefix}{name}' is missing; add a line {name} = ... to the recipe")
    try:
        return cls(**values)
    except TrainerError:
        raise
    except ValueError as error:  # from the sections that ca_data owns
        raise TrainerError(f"recipe: {prefix.rstrip('.')}: {error}") from None


def _valid_names(cls: Any, prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, expected in get_type_hints(cls).items():
        names += _valid_names(expected, f"{prefix}{name}.") if is_dataclass(expected) else [prefix + name]
    return names


def _nearest(key: str) -> str:
    every = _valid_names(Recipe)
    same_last = [name for name in every if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    return repr((same_last or get_close_matches(key, every, n=1, cutoff=0.0))[0])


def _convert(expected: Any, value: Any, name: str) -> Any:
    origin = get_origin(expected)
    if is_dataclass(expected) and isinstance(value, dict):
        return _build(expected, value, name + ".")  # type: ignore[arg-type]
    if origin is Mapping and isinstance(value, dict):
        return dict(value)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(get_args(expected)[0], item, name) for item in value)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(expected, type) and not is_dataclass(expected) and type(value) is expected:
        return value
    wanted = _WORDS.get(origin or expected, "a section of its own, [like this]")
    raise TrainerError(f"recipe: {name} must be {wanted}, got {value!r}")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _table_lines(table: Mapping[str, Any], prefix: str) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_toml_text(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{prefix}{key}]", *_table_lines(value, f"{prefix}{key}.")]
    return lines


def _toml_text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml_text(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)  # shortest text that reads back equal, so 2e-4 stays 2e-4
    return json.dumps(value, ensure_ascii=False)  # booleans, integers and strings are spelt alike in TOML
