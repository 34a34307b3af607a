"""Stint's command line: `python run.py`. It composes the rooms, imports lazily, and owns errors and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from configs.commands import app as config_commands
from engine.checkpoint.commands import app as checkpoint_commands
from engine.run.commands import send, status
from engine.training.commands import full_screen, train_command

app = typer.Typer(
    name="stint",
    help="Fine-tune a language model with LoRA and four experts inside the hours you paid for.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def show(directory: Path, last_words: Callable[[], str | None] | None = None) -> int:
    """The cockpit on a run, until the person leaves."""
    from tuiapp.app import run_live

    return run_live(directory, attach_command=f"python run.py attach {directory}", launcher_error=last_words)


app.command()(train_command(show))
app.command()(status)
app.command()(send)
app.add_typer(config_commands, name="config")
app.add_typer(checkpoint_commands, name="checkpoint")


@app.command()
def attach(
    run: Annotated[Path | None, typer.Argument(help="Run directory; by default the run of this directory.")] = None,
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
    events: Annotated[Path, typer.Argument(help="events.jsonl of a run, or its run directory.")],
    speed: Annotated[float, typer.Option(help="Seconds of the run shown in one second.", min=0.1)] = 1.0,
    at: Annotated[float | None, typer.Option(help="Start this many seconds into the run.")] = None,
    no_tui: Annotated[bool, typer.Option("--no-tui", help="Print the run's console lines instead.")] = False,
) -> None:
    """Show a recorded run again, on the same screen."""
    from configs.errors import UsageError

    journal = events / "events.jsonl" if events.is_dir() else events
    if not journal.is_file():
        raise UsageError(f"There is no journal at {journal}: give the events.jsonl of a run, or its run directory.")
    if no_tui or not full_screen():
        print_story(journal)
        return
    from tuiapp.app import run_replay

    raise typer.Exit(run_replay(journal, speed=speed, at=at))


def print_story(journal: Path) -> None:
    """The run in lines, as its console told it."""
    from engine.run.journal import read
    from engine.watch.story import Story

    story = Story(every=10)
    for record in read(journal):
        for line in story.tell(record):
            print(line)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where the four configuration files are written.")] = Path(),
) -> None:
    """Write the 12B preset's four configuration files, with every key explained."""
    from configs.commands import init as write_preset

    for path in write_preset(directory):
        typer.echo(f"wrote {path}")


def normalised(arguments: Sequence[str]) -> list[str]:
    """The command line with `train` put in front where no command is named, and `--long_option` as `--long-option`."""
    words = list(arguments)
    for index, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            words[index] = {"--resume-from-checkpoint": "--resume"}.get(name, name) + equals + value
    commands = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    if words and words[0] in ("--help", "-h", "--version"):
        return words
    named = words and not words[0].startswith("-")
    return words if named and words[0] in commands | groups else ["train", *words]


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Without a command: train."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"stint {installed('stint')}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    words = normalised(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = app(words, standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        code = explain(error)
        if debug or code is None:
            raise
    return int(code or 0)


def explain(error: Exception) -> int | None:
    """Print a person's error as one paragraph on stderr; None for a defect of ours."""
    from configs.errors import UserError

    if isinstance(error, UserError):
        print(f"stint: {error.message}", file=sys.stderr)
        return int(error.exit_code)
    # typer carries its own copy of click since 0.26, so its errors are known by what they can do.
    if callable(describe := getattr(error, "format_message", None)):
        print(f"stint: {describe()} See `python run.py --help`.", file=sys.stderr)
        return int(getattr(error, "exit_code", 2)) or 2
    return None


if __name__ == "__main__":
    sys.exit(main())
