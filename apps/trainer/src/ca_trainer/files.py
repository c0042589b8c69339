"""JSON files that other programs can read: written whole, without NaN."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ca_data import write_atomically


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all; figures that are no number become null.

    Args:
        file: replaced if it exists.
        content: strings, numbers, lists and mappings.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
