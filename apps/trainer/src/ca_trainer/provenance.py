"""Provenance of a run: versions, git state, command and machine, kept with what it wrote."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "lightning", "timm", "numpy", "safetensors")
OWN_PACKAGES = (
    "ca-trainer",
    "ca-model",
    "ca-attention",
    "ca-align",
    "ca-swin",
    "ca-losses",
    "ca-metrics",
    "ca-data",
)


def collect_versions() -> dict[str, str]:
    """Versions of Python and of everything that computes; a package used from its source folder has none.

    Example:
        >>> "torch" in collect_versions()
        True
    """
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *OWN_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state() -> str:
    """Commit of the trainer's source, with `-dirty` when files differ from it; empty outside a repository."""
    source = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip() if described.returncode == 0 else ""


def command_line() -> str:
    """The command as it was typed, without the folders of the machine it ran on."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def environment() -> dict[str, Any]:
    """Versions, command and machine of this process, without the names of people or hosts.

    Returns:
        ``versions``, ``git``, ``command`` and ``machine``.

    Example:
        >>> sorted(environment())
        ['command', 'git', 'machine', 'versions']
    """
    import cv2  # training, which shares this file, has no need of it

    return {
        "versions": {**collect_versions(), "opencv": cv2.__version__},
        "git": git_state(),
        "command": command_line(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        },
    }
