"""`report`: a run as PDF, web page and JSON, from its journal and directory alone, however it ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from configs.errors import UsageError

FORMATS = ("pdf", "html", "json")


def report(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run directory. Default: the run of this place.", show_default=False),
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Where the files go. Default: the run directory.", show_default=False)
    ] = None,
    wandb_run_id: Annotated[
        str | None, typer.Option(help="W&B run to name in it. Default: the one that was recorded.", show_default=False)
    ] = None,
    format: Annotated[str, typer.Option(help="Which files, with commas between.")] = ",".join(FORMATS),
    output: Annotated[
        Path | None, typer.Option(help="Write one file of this name; its ending says which.", show_default=False)
    ] = None,
    model_path: Annotated[Path | None, typer.Option(hidden=True)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a summary.")] = False,
) -> None:
    """Write training_report.pdf, training_report.html and report.json of a run: live, ended or lost."""
    from engine.run.locate import find_run

    if run is not None and model_path is not None and run != model_path:
        raise UsageError("RUN and --model-path name two directories; give one of them.")
    chosen = _formats(format)
    if output is not None:
        if output_dir is not None:
            raise UsageError("--output names one file and --output-dir a folder for all; give one of them.")
        chosen = _formats(output.suffix.removeprefix("."))
    if output_dir is not None and output_dir.exists() and not output_dir.is_dir():
        raise UsageError(f"--output-dir {output_dir} is a file. Name a folder.")
    rundir = find_run(run if run is not None else model_path)

    from engine.report.document import dump
    from engine.report.write import write_report
    from states.text import clean

    folder = output.parent if output is not None else output_dir
    name = output.name if output is not None else None
    told, written = write_report(rundir, folder, formats=chosen, name=name, wandb_run_id=wandb_run_id)
    if json:
        sys.stdout.write(dump(told).decode())
    else:
        verdict = told.verdict
        sys.stdout.write(clean(f"{verdict.headline}. {verdict.why}\n"))
        for path in written:
            sys.stdout.write(clean(f"wrote {path}\n"))
    sys.stdout.flush()


def _formats(words: str) -> tuple[str, ...]:
    chosen = tuple(word.strip().lower() for word in words.split(",") if word.strip())
    unknown = [word for word in chosen if word not in FORMATS]
    if unknown or not chosen:
        what = f"{unknown[0]} is no format" if unknown else "no format is named"
        raise UsageError(f"--format: {what}. There are {', '.join(FORMATS)}, with commas between.")
    return chosen
