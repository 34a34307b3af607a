"""`train`: from the command line to a running engine and, on a terminal, a viewer. Light until it must train.

The viewer is a layer above: `run.py` hangs it on `show` before anything is started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs import options
from configs.errors import UsageError

if TYPE_CHECKING:
    from engine.training.launch import Launch

Show = Callable[[Path, Callable[[], str | None]], int]
"""Shows a run directory until the person leaves, and returns the exit code; the second argument tells a dead engine's
last words."""


def train_command(show: Show) -> Callable[..., None]:
    """The `train` command, showing a run on a terminal with `show`."""

    def train(
        config: options.Config = None,
        dataset: options.Dataset = None,
        validation: options.Validation = None,
        base_model: options.BaseModel = None,
        chat_template: options.ChatTemplate = None,
        output_dir: options.OutputDir = None,
        resume: Annotated[str | None, typer.Option(help="`auto`, or a checkpoint's directory.")] = None,
        hours: options.Hours = None,
        deadline: options.Deadline = None,
        manual: options.Manual = False,
        overrides: options.Overrides = None,
        no_tui: Annotated[bool, typer.Option("--no-tui", help="Train in the foreground with plain lines.")] = False,
        json: Annotated[
            bool, typer.Option("--json", help="Like --no-tui, with the journal's records on stdout.")
        ] = False,
        detach: Annotated[bool, typer.Option("--detach", help="Start the engine and leave it running.")] = False,
        check: Annotated[
            bool, typer.Option("--check", help="Check everything, with two steps on the real model, and start nothing.")
        ] = False,
        launch_file: Annotated[Path | None, typer.Option("--launch-file", hidden=True)] = None,
    ) -> None:
        """Train: ./training_config.json where there is one, else the built-in demo."""
        from engine.run.spawn import engine_environment

        os.environ.update(engine_environment())
        if launch_file is not None:
            from engine.training.spawning import told

            raise typer.Exit(_foreground(told(launch_file), json=json))
        if detach and (no_tui or json):
            raise UsageError(
                f"{'--json' if json else '--no-tui'} trains in the foreground and --detach does not: give one of them."
            )

        from engine.training.choose import Choice, choose
        from engine.training.resuming import AlreadyFinished

        choice = Choice(
            config=config,
            dataset=dataset,
            validation=validation,
            base_model=base_model,
            chat_template=chat_template,
            output_dir=output_dir,
            resume=resume,
            hours=hours,
            deadline=deadline,
            manual=manual,
            overrides=tuple(overrides or ()),
        )
        if check:
            from engine.training.checking import told as check_told

            raise typer.Exit(check_told(choice, as_json=json))
        try:
            launch = choose(choice)
        except AlreadyFinished as done:
            typer.echo(str(done), err=json)
            return
        if no_tui or json or not (full_screen() or detach):
            raise typer.Exit(_foreground(launch, json=json))
        from engine.training.spawning import last_words, start_engine, wait_until_open

        started = start_engine(launch)
        for sentence in launch.said:
            typer.echo(sentence)
        if detach:
            code = wait_until_open(started)
            if code:
                typer.echo(last_words(started) or "The engine did not start.", err=True)
                raise typer.Exit(code)
            typer.echo(f"The engine runs in {launch.directory}. `python run.py attach {launch.directory}` shows it.")
            return
        raise typer.Exit(show(launch.directory, lambda: last_words(started)))

    return train


def _foreground(launch: Launch, *, json: bool) -> int:
    from engine.training.main import run_engine

    return int(run_engine(launch, json=json))


def full_screen() -> bool:
    """Whether a full-screen program can run here."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
