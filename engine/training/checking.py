"""`check`, which is also `train --check`: whether a start would go well, without starting. Light until it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from configs import options

if TYPE_CHECKING:
    from engine.training.check import Row
    from engine.training.choose import Choice


def check(
    config: options.Config = None,
    dataset: options.Dataset = None,
    validation: options.Validation = None,
    base_model: options.BaseModel = None,
    chat_template: options.ChatTemplate = None,
    output_dir: options.OutputDir = None,
    hours: options.Hours = None,
    deadline: options.Deadline = None,
    manual: options.Manual = False,
    overrides: options.Overrides = None,
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
