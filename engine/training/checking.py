"""`check`, which is also `train --check`: whether a start would go well, without starting. Light until it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.training.check import Row
    from engine.training.choose import Choice


def check(
    config: Annotated[Path | None, typer.Option(help="Folder with training_config.json and its siblings.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Conversations to train on.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Conversations to evaluate on; else a part is held out.")
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="Folder of a checkpoint, or a hub id.")] = None,
    chat_template: Annotated[Path | None, typer.Option(help="Jinja file, for a base without a chat template.")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="The run's directory: its disk is looked at.")] = None,
    hours: Annotated[float | None, typer.Option(help="Length of the window from now.")] = None,
    deadline: Annotated[str | None, typer.Option(help="End of the window: 2026-11-23T07:30, or 07:30.")] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Adjust nothing to the window; warn instead.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Check a start: configuration, disk, card, data, plan, and two steps on the real model. Leaves nothing behind."""
    from engine.run.spawn import engine_environment

    os.environ.update(engine_environment())
    from engine.training.choose import Choice

    choice = Choice(
        config=config,
        dataset=dataset,
        validation=validation,
        base_model=base_model,
        chat_template=chat_template,
        output_dir=output_dir,
        hours=hours,
        deadline=deadline,
        manual=manual,
        overrides=tuple(overrides or ()),
    )
    raise typer.Exit(told(choice, as_json=as_json))


def told(choice: Choice, *, as_json: bool) -> int:
    """Check, print what was found, and return the exit code: 0, 2 or 3."""
    from engine.training.check import run_check

    def tell(row: Row) -> None:
        typer.echo(f"{row.verdict:<5} {row.name:<14} {row.text}")

    table = run_check(choice) if as_json else run_check(choice, tell)
    if as_json:
        import orjson

        typer.echo(orjson.dumps(table.to_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        end = "This start is refused: see `fail` above." if table.code else "A run with these options can start."
        typer.echo(f"\n{end} Checked in {table.seconds:.0f} s; nothing was left behind.")
    return int(table.code)
