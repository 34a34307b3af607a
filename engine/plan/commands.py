"""`run.py plan`: what a run would do and how long it would take, before it begins. Light until it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from configs import options
from configs.errors import UsageError
from engine.run.quiet import quiet_stdout
from states.phases import ExitCode
from states.text import clean

if TYPE_CHECKING:
    from engine.plan.outlook import Outlook


def plan(
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
    assume_tokens_per_s: Annotated[
        float | None, typer.Option(metavar="X", help="Plan with this speed instead of a known or assumed one.")
    ] = None,
    assume_memory_gb: Annotated[
        float | None, typer.Option(metavar="X", help="Plan for a card with this memory instead of this machine's.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there as JSON, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Plan a run without starting it. Exit code 0 when it fits its window and the memory, 2 when nothing does."""
    for name, value in (("--assume-tokens-per-s", assume_tokens_per_s), ("--assume-memory-gb", assume_memory_gb)):
        if value is not None and not 0 < value < 1e9:
            raise UsageError(f"{name} {value:g} is nothing to plan with: give a number above 0.")
    with quiet_stdout():
        from engine.data.desk import progress_line
        from engine.plan.outlook import Assumed, outlook
        from engine.training.choose import Choice

        found = outlook(
            Choice(
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
            ),
            Assumed(tokens_per_s=assume_tokens_per_s, memory_gb=assume_memory_gb),
            progress_line(),
        )
    body = _body(found)
    if output is not None:
        _write(output, body)
    if as_json:
        sys.stdout.write(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(found)
    if not found.plan.fits:
        raise typer.Exit(ExitCode.USAGE)


def _body(found: Outlook) -> dict[str, Any]:
    from engine.plan.report import report

    body = report(found.plan, found.work, opened_wall=found.opened_wall, disk=found.disk)
    return {"fits": found.plan.fits, "assumptions": list(found.said), **body}


def _print(found: Outlook) -> None:
    from engine.plan.report import table

    for sentence in found.said:
        print(clean(sentence))
    if found.said:
        print()
    for line in table(found.plan, found.work, opened_wall=found.opened_wall, disk=found.disk).splitlines():
        print(clean(line))


def _write(path: Path, body: dict[str, Any]) -> None:
    from engine.run.rundir import write_json

    if path.is_dir():
        raise UsageError(f"--output {path} is a directory: name a file, such as training_optimization_report.json.")
    try:
        write_json(path, body)
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror}. Name another file.") from error
