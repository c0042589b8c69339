"""Command line of the trainer: its commands, and errors as one line with an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import typer

from ca_trainer.errors import BAD_INPUT, INTERRUPTED

# The class of a wrong option or value, which typer exports only as the base of this one.
USAGE_ERROR: Any = typer.BadParameter.__base__


class Command(NamedTuple):
    """A command: its module, which has `register(app)` and is imported only when called, and its line of help."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("ca_trainer.training.command", "Train a network; this is what runs without a command."),
    "evaluate": Command(
        "ca_trainer.evaluation.command", "Score a network or a baseline on clips; writes a report."
    ),
    "ablate": Command("ca_trainer.ablation", "Train and score the network and its four ablations."),
    "prepare": Command(
        "ca_trainer.evaluation.prepare", "Make an evaluation set out of DAVIS or a folder of videos."
    ),
    "bench": Command("ca_trainer.training.bench", "Measure speed and memory of training on this machine."),
    "report": Command(
        "ca_trainer.training.compare", "Draw the curves of several training runs side by side."
    ),
}


def make_app(called: str) -> typer.Typer:
    """The typer program, with the real command for the one that is called and a line of help for the others.

    Args:
        called: a name out of `COMMANDS`, or another word where only help is wanted.
    """
    app = typer.Typer(
        name="trainer",
        help="Train, evaluate and ablate ColorAlignNet. Without a command: train the demo recipe.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in COMMANDS.items():
        if name == called:
            import_module(command.module).register(app)
        else:
            app.command(name, help=command.summary)(lambda: None)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program: bad input becomes one line and exit code 2; CA_TRACEBACK=1 shows where it arose."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["train", *given]
    try:
        code = make_app(given[0])(given, standalone_mode=False)
    except USAGE_ERROR as error:
        _leave(f"{error.format_message()} (see --help)", BAD_INPUT)
    except (ValueError, ImportError) as error:  # a TrainerError, or a library's refusal of what it was given
        if os.environ.get("CA_TRACEBACK"):
            raise
        _leave(str(error), BAD_INPUT)
    except OSError as error:  # a full disk, a folder that went away
        if os.environ.get("CA_TRACEBACK"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        _leave(f"{where}{error.strerror or error}; what was saved is kept, go on with --resume", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted; what was done since the last checkpoint is not saved", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
