"""How far a command is: bars on a terminal, a plain line for each finished task elsewhere. On standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.quality.speaker import Progress
from states.text import one_line


@contextmanager
def following() -> Iterator[Progress]:
    """Hear progress while the block lasts; a terminal is left as it was."""
    if not sys.stderr.isatty():
        yield _plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        known = {}

        def hear(task: str, done: int, total: int) -> None:
            name = one_line(task, 40)
            if name not in known:
                known[name] = bars.add_task(name, total=total)
            if done == 0:
                bars.reset(known[name], total=total)
            bars.update(known[name], completed=done, total=total)

        yield hear


def _plain(task: str, done: int, total: int) -> None:
    if done >= total:
        print(f"{one_line(task, 60)}: {total:,} done", file=sys.stderr, flush=True)
