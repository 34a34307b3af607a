"""The lifecycle as a picture, drawn from the table itself: `python -m states.diagram > docs/lifecycle.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from states.lifecycle import REASONS, TABLE, guards, sources
from states.phases import Phase, Trigger

if TYPE_CHECKING:
    from transitions.core import TransitionConfigDict

_BEFORE: Final = """\
# The lifecycle of a run

Drawn by `python -m states.diagram` from the table in `states/lifecycle.py`; a test keeps this page true.
An arrow is a trigger, its guard in brackets. An arrow that returns to its phase is internal: pausing, going on and
hurrying change no phase. Only the training thread fires triggers, through one typed `fire(trigger, reason)`.
"""
_AFTER: Final = """\
A run that was killed outright is in none of these phases: its journal has no `run.stopped` and its lock is free.
Whoever looks calls that *lost*. A resume is no way out of `stopped`: it is a new process that begins in `setup`.
"""


def mermaid() -> str:
    """The table as a Mermaid state diagram, arrows in the order of the phases."""
    arrows = [_arrow(phase, row) for phase in Phase for row in TABLE if phase in sources(row)]
    lines = [f"[*] --> {next(iter(Phase))}", *arrows, f"{Phase.STOPPED} --> [*]"]
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in lines)])


def reasons() -> str:
    """The reasons each trigger may carry, as a Markdown table."""
    rows = [f"| {trigger} | {', '.join(sorted(REASONS[trigger]))} |" for trigger in Trigger if trigger in REASONS]
    return "\n".join(["| trigger | needs one of these reasons |", "| --- | --- |", *rows])


def page() -> str:
    """All of docs/lifecycle.md."""
    return f"{_BEFORE}\n```mermaid\n{mermaid()}\n```\n\n{reasons()}\n\nEvery other trigger carries none.\n\n{_AFTER}"


def _arrow(phase: Phase, row: TransitionConfigDict) -> str:
    target = next((phase for phase in Phase if phase is row["dest"]), phase)
    conditions = guards(row, "conditions") + [f"not {guard}" for guard in guards(row, "unless")]
    guard = f" [{' and '.join(conditions)}]".replace("_", " ") if conditions else ""
    return f"{phase} --> {target}: {row['trigger']}{guard}"


if __name__ == "__main__":
    sys.stdout.write(page())
