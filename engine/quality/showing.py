"""An evaluation on a terminal: the headline first and last, a compact table a section between."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from rich.box import ASCII2, SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from engine.quality.cells import cell_text, interval_text, value_text, verdict_text
from engine.quality.findings import Check, Evaluation, Section, Severity, Table, Verdict
from engine.quality.folder import REPLIES
from states.text import clean
from states.wording import duration

_MAX_ROWS = 12
"""A longer table is for evaluation.md, and so is one that is wider than the terminal."""
_INDENT = 2


def show(evaluation: Evaluation, console: Console) -> None:
    """Print it. All text is clean and none of it markup, whoever wrote it."""
    console.print(_headline(evaluation))
    for section in evaluation.sections:
        console.print()
        for part in _section(section, console):
            console.print(part)
    console.print()
    console.print(_headline(evaluation))


def open_console() -> Console:
    """Standard output as a person reads it; no markup, no colours where it is no terminal or NO_COLOR is set."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks is spelled out.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(markup=False, emoji=False, highlight=False)


def show_replies(folder: Path, console: Console, count: int = 3) -> None:
    """Print the first replies that were kept, for the eyes that asked for them."""
    lines = (folder / REPLIES).read_bytes().splitlines()
    console.print()
    console.print(Text(f"The first of {len(lines):,} replies in {clean(str(folder / REPLIES))}:", style="bold"))
    for line in lines[:count]:
        told = orjson.loads(line)
        asked = told["context"][-1]["text"] if told["context"] else ""
        console.print(_indented(Text(f"client: {clean(asked)}", style="dim")))
        console.print(_indented(Text(f"{told['model']}: {clean(told['reply'])}")))


def _headline(evaluation: Evaluation) -> Text:
    red = bool(evaluation.red_failures)
    look = bool(evaluation.yellow_failures or evaluation.unfinished)
    return Text(clean(evaluation.headline), style="bold red" if red else "bold yellow" if look else "bold")


def _section(section: Section, console: Console) -> Iterator[RenderableType]:
    took = f"  {duration(section.seconds)}" if section.seconds else ""
    yield Text.assemble((clean(section.title), "bold"), (took, "dim"))
    if section.unfinished:
        yield _indented(Text(f"not finished: {clean(section.unfinished)}", style="yellow"))
    if section.checks:
        yield _indented(_checks(section.checks, console))
    for check in section.checks:
        if check.verdict in (Verdict.FAIL, Verdict.UNKNOWN):
            yield _indented(_remark(check))
    for table in section.tables:
        if len(table.rows) <= _MAX_ROWS and _width(table) <= console.width - _INDENT:
            yield _indented(Text(clean(table.title), style="italic"))
            yield _indented(_table(table, console))
        else:
            size = f"{len(table.rows):,} rows"
            yield _indented(Text(f"{clean(table.title)}: {size}, in evaluation.md", style="dim"))
    if section.caveat:
        yield _indented(Text(clean(section.caveat), style="dim"))


def _checks(checks: Sequence[Check], console: Console) -> Grid:
    based = any(check.base is not None for check in checks)
    between = any(interval_text(check.tuned, check.unit) for check in checks)
    judged = any(verdict_text(check) for check in checks)
    heads = ["check", *(["base"] if based else []), "trained", *(["95% interval"] if between else []), "n"]
    rows = [
        [
            check.title,
            *([value_text(check.base, check.unit)] if based else []),
            value_text(check.tuned, check.unit),
            *([interval_text(check.tuned, check.unit)] if between else []),
            f"{check.n:,}",
            *([verdict_text(check)] if judged else []),
        ]
        for check in checks
    ]
    numeric = [place > 0 for place in range(len(heads))]
    return _grid([*heads, *(["verdict"] if judged else [])], rows, [*numeric, *([False] if judged else [])], console)


def _table(table: Table, console: Console) -> Grid:
    numeric = [all(not isinstance(row[place], str) for row in table.rows) for place in range(len(table.columns))]
    return _grid(table.columns, [[cell_text(value) for value in row] for row in table.rows], numeric, console)


def _width(table: Table) -> int:
    """Columns of a terminal that it takes unwrapped."""
    rows = [list(table.columns), *([cell_text(value) for value in row] for row in table.rows)]
    return sum(max(cell_len(clean(cell)) for cell in column) + 1 for column in zip(*rows, strict=True))


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], console: Console) -> Grid:
    box = ASCII2 if console.options.ascii_only else SIMPLE_HEAD
    grid = Grid(box=box, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for place, head in enumerate(heads):
        # The first column gives way and wraps; numbers must not.
        justify: JustifyMethod = "right" if numeric[place] else "left"
        grid.add_column(Text(clean(head)), justify=justify, no_wrap=place > 0, overflow="fold")
    for row in rows:
        grid.add_row(*(_styled(clean(cell)) for cell in row))
    return grid


def _styled(cell: str) -> Text:
    styles = {"FAIL": "bold red", "look": "yellow", "unknown": "yellow", "pass": "green", "met": "green"}
    return Text(cell, style=styles.get(cell, ""))


def _remark(check: Check) -> Text:
    wanted = f"wanted {check.threshold}" if check.threshold else ""
    note = check.note if check.severity is not Severity.NONE or not wanted else ""
    style = "red" if check.severity is Severity.RED else "yellow" if check.severity is Severity.YELLOW else "dim"
    return Text(f"{clean(check.title)}: {clean('. '.join(part for part in (wanted, note) if part))}", style=style)


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, _INDENT), expand=False)
