"""`run.py dataset analyze|validate|preview|sample|convert`: know the data before the hours are paid for.

Light until one of them runs; only what needs tokens loads a tokenizer.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import UsageError
from engine.run.quiet import quiet_stdout
from states.phases import ExitCode
from states.text import clean

if TYPE_CHECKING:
    from engine.data.desk import Desk
    from engine.data.rewriting import Rewritten

app = typer.Typer(no_args_is_help=True, help="Analyze, validate, preview, sample and convert conversations.")

_File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Conversations. Default: the configuration's data set.")
]
_Source = Annotated[Path | None, typer.Argument(metavar="FILE", help="Conversations to read.")]
_Dataset = Annotated[Path | None, typer.Option(metavar="FILE", help="The same as FILE.")]
_Config = Annotated[Path | None, typer.Option(help="Whose settings count. Default: this directory's, else the demo's.")]
_Base = Annotated[str | None, typer.Option(metavar="MODEL", help="Base model whose tokens are counted.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


@app.command()
def analyze(
    file: _File = None,
    dataset: _Dataset = None,
    config: _Config = None,
    base_model: _Base = None,
    as_json: _Json = False,
) -> None:
    """Count conversations, turns and tokens, draw their lengths, and say what steps and bins they make."""
    desk = _desk(file, dataset, config, base_model)
    with quiet_stdout():
        from engine.data.analysis import analysis_json
        from engine.data.analysis import analyze as count
        from engine.data.desk import progress_line
        from engine.data.tables import analysis_lines

        found = count(desk, progress_line())
    if as_json:
        _print_json(analysis_json(desk, found))
        return
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    for line in analysis_lines(desk, found, width=width, blocks=_can_print("\u2588\u258f")):
        _say(line)


@app.command()
def validate(
    file: _File = None,
    dataset: _Dataset = None,
    config: _Config = None,
    base_model: _Base = None,
    as_json: _Json = False,
) -> None:
    """Find every problem of a file in one pass. Exit code 0 without errors, 3 with any; warnings are no errors."""
    desk = _desk(file, dataset, config, base_model)
    with quiet_stdout():
        from engine.data.desk import progress_line
        from engine.data.reports import validation_json, validation_lines
        from engine.data.validating import validate as check

        report = check(desk, progress_line())
    if as_json:
        _print_json({"file": str(desk.file), "settings": desk.settings, **validation_json(report)})
    else:
        _say(f"{desk.file}, checked as a run with the settings of {desk.settings} would see it")
        for line in validation_lines(report):
            _say(line)
    if not report.ok:
        raise typer.Exit(ExitCode.DATA)


@app.command()
def preview(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Conversations.")],
    row: Annotated[int, typer.Argument(metavar="N", min=1, help="Row or line of one, as the other commands say it.")],
    config: _Config = None,
    base_model: _Base = None,
    as_json: _Json = False,
) -> None:
    """Show one conversation as the trainer will see it: the tokens of its bin, those that carry loss marked."""
    desk = _desk(file, None, config, base_model)
    with quiet_stdout():
        from engine.data.desk import progress_line
        from engine.data.marking import ASCII_MARKS, MARKS, preview_json, preview_lines
        from engine.data.previewing import preview as look

        unit, seen = look(desk, row, progress_line())
    if as_json:
        _print_json(preview_json(seen))
        return
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
    marks = MARKS if _can_print("".join(MARKS)) else ASCII_MARKS
    for line in preview_lines(seen, unit=unit, colour=colour, marks=marks):
        # The lines are clean already; the colours must pass.
        _put(line)


@app.command()
def sample(
    source: Annotated[Path, typer.Option("--input", metavar="FILE", help="Conversations to draw from.")],
    target: Annotated[Path, typer.Option("--output", metavar="FILE", help="File to write; it must not be there yet.")],
    size: Annotated[int, typer.Option(min=1, help="How many conversations.")],
    balance_domains: Annotated[
        bool, typer.Option("--balance-domains", help="As many of each domain, while they last.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same conversations.")] = 42,
    as_json: _Json = False,
) -> None:
    """Write a smaller file with some of the usable conversations, their rows unchanged."""
    from engine.data.rewriting import sample as draw

    _told(draw(source, target, size, balance=balance_domains, seed=seed), as_json=as_json)


@app.command()
def convert(
    to: Annotated[str, typer.Option(metavar="FORM", help="messages (JSON Lines) or transcript.")],
    target: Annotated[Path, typer.Option("--output", metavar="FILE", help="File to write; it must not be there yet.")],
    file: _Source = None,
    dataset: _Dataset = None,
    as_json: _Json = False,
) -> None:
    """Write the same conversations in another of the accepted forms; every row is read back and compared."""
    from engine.data.desk import one_file
    from engine.data.rewriting import Form
    from engine.data.rewriting import convert as rewrite

    source = one_file(file, dataset)
    if source is None:
        raise UsageError("There is no file to convert: name one, as in `dataset convert FILE --to messages ...`.")
    if to not in list(Form):
        raise UsageError(f"`--to {to}` is no form. The forms are: {', '.join(Form)}.")
    _told(rewrite(source, target, Form(to)), as_json=as_json)


def _desk(file: Path | None, dataset: Path | None, config: Path | None, base_model: str | None) -> Desk:
    from engine.data.desk import one_file, settle

    return settle(one_file(file, dataset), config, base_model)


def _told(done: Rewritten, *, as_json: bool) -> None:
    domains = {name or "(none)": count for name, count in done.domains.items()}
    if as_json:
        _print_json(
            {
                "file": str(done.path),
                "conversations": done.conversations,
                "domains": domains,
                "left_out": done.left_out,
            }
        )
        return
    parts = ", ".join(f"{name} {count:,}" for name, count in domains.items())
    left = f"; {done.left_out:,} rows of the source were not usable and are left out" if done.left_out else ""
    _say(f"wrote {done.conversations:,} conversations to {done.path} ({parts}){left}")


def _say(text: str) -> None:
    _put(clean(text))


def _put(text: str) -> None:
    """Print, whatever the terminal's encoding lacks spelled out."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _print_json(value: Any) -> None:
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
