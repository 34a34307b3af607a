"""Stint's command line: `python run.py`. It composes the rooms, imports lazily, and owns errors and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from configs.commands import app as config_commands
from engine.checkpoint.commands import app as checkpoint_commands
from engine.data.commands import app as dataset_commands
from engine.plan.commands import plan
from engine.quality.commands import evaluate, infer
from engine.release.commands import backup, export, release, restore
from engine.report.commands import report
from engine.run.arguments import DEFAULT, Grammar, arrange
from engine.run.commands import send, status
from engine.training.checking import check
from engine.training.commands import full_screen, train_command

ORDER = (
    *("train", "attach", "status", "send", "replay"),
    *("plan", "check", "init", "config", "dataset"),
    *("evaluate", "infer", "report"),
    *("export", "release", "backup", "restore", "checkpoint"),
)
"""Commands as the help lists them: a run, what comes before it, what it is worth, what is kept of it."""


class Ordered(TyperGroup):
    """Lists its commands in that order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, those without a place last."""
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="stint",
    cls=Ordered,
    help="Fine-tune a language model with LoRA and four experts inside the hours you paid for. Alone: train.",
    epilog="Anywhere on the line, --debug adds the traceback to an error.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def show(directory: Path, last_words: Callable[[], str | None] | None = None) -> int:
    """The cockpit on a run, until the person leaves."""
    from tuiapp.app import run_live

    return run_live(directory, attach_command=f"python run.py attach {directory}", launcher_error=last_words)


app.command(short_help="Train here: ./training_config.json, or the built-in demo.")(train_command(show))
app.command()(status)
app.command(short_help="Ask a running engine for something and wait for it.")(send)
app.command()(plan)
app.command(short_help="Try a start, with two steps on the real model.")(check)
app.command(short_help="Write the model for other programs, in several forms.")(export)
app.command(short_help="Put the published model under a version.")(release)
app.command(short_help="Pack a run into one archive and read it back.")(backup)
app.command(short_help="Unpack a backup, every file compared with its hash.")(restore)
app.command(short_help="Tell a run as PDF, web page and JSON, however it ended.")(report)
app.command()(evaluate)
app.command(short_help="Let a trained model answer.")(infer)
app.add_typer(config_commands, name="config")
app.add_typer(checkpoint_commands, name="checkpoint")
app.add_typer(dataset_commands, name="dataset")


@app.command(short_help="Show a run in the cockpit, live or as it ended.")
def attach(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="Run directory; by default the run of this directory.")
    ] = None,
) -> None:
    """Show a run in the cockpit: live while its engine runs, else as it ended."""
    from configs.errors import UsageError
    from engine.run.locate import find_run

    directory = find_run(run).path
    if not full_screen():
        raise UsageError(f"The cockpit needs a terminal. `python run.py status {directory}` says how the run is doing.")
    raise typer.Exit(show(directory))


@app.command()
def replay(
    events: Annotated[Path, typer.Argument(metavar="EVENTS", help="events.jsonl of a run, or its run directory.")],
    speed: Annotated[
        float | None, typer.Option(help="Seconds of the run shown in one second.", show_default="1", min=0.1)
    ] = None,
    at: Annotated[float | None, typer.Option(help="Start this many seconds into the run.", min=0.0)] = None,
    no_tui: Annotated[
        bool, typer.Option("--no-tui", help="Print the run's console lines, at once unless --speed is given.")
    ] = False,
) -> None:
    """Show a recorded run again, on the same screen."""
    from engine.watch.retell import find_journal, retell

    journal = find_journal(events)
    if no_tui or not full_screen():
        retell(journal, print, speed=speed, at=at)
        return
    from tuiapp.app import run_replay

    raise typer.Exit(run_replay(journal, speed=1.0 if speed is None else speed, at=at))


@app.command(short_help="Write the 12B preset's four configuration files.")
def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the four configuration files are written.")
    ] = Path(),
) -> None:
    """Write the 12B preset's four configuration files, with every key explained."""
    from configs.commands import init as write_preset

    for path in write_preset(directory):
        typer.echo(f"wrote {path}")


def print_version(asked: bool) -> None:
    """Print the version and leave, if it was asked for."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"stint {version('stint')}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """What every command shares."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    program = get_command(app)
    name = "stint" if Path(sys.argv[0]).name == "stint" else "python run.py"
    try:
        words = arrange([word for word in words if word != "--debug"], _grammar(program))
        code = program.main(words, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our lines has seen enough. The interpreter would complain when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  (the one place where errors become words and an exit code)
        if debug:
            import traceback

            traceback.print_exception(error)
        return explain(error)
    return int(code or 0)


def _grammar(program: object) -> Grammar:
    assert isinstance(program, TyperGroup)
    flags: set[str] = set()
    valued: set[str] = set()
    for option in program.commands[DEFAULT].params:
        (flags if getattr(option, "is_flag", False) else valued).update(option.opts)
    groups = [name for name, command in program.commands.items() if isinstance(command, TyperGroup)]
    return Grammar(
        commands=[name for name in program.commands if name not in groups], groups=groups, flags=flags, valued=valued
    )


def explain(error: Exception) -> int:
    """Print an error as one paragraph on stderr and return the exit code it stands for."""
    from configs.errors import UserError
    from states.phases import ExitCode
    from states.text import clean

    code = ExitCode.ERROR
    if isinstance(error, UserError):
        message, code = error.message, error.exit_code
    elif callable(describe := getattr(error, "format_message", None)):
        # typer carries its own copy of click since 0.26, so its errors are known by what they can do.
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "python run.py"
        message, code = f"{describe().rstrip('. ')}. `{command} --help` lists what there is.", ExitCode.USAGE
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}. --debug shows what was being done."
    else:
        message = f"A defect of Stint: {type(error).__name__}: {error}. Please report it, with what --debug shows."
    print(f"stint: {clean(' '.join(message.split()))}", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
