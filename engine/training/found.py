"""What already is in an output directory: no run, a live one, a finished one, or one that can go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.errors import UsageError
from engine.run.rundir import RunDir
from states.codec import BadLine, decode
from states.events import LogOpened, RunConfigured, RunStopped
from states.phases import Outcome

CONFIGURED = b'"kind":"run.configured"'
STOPPED = b'"kind":"run.stopped"'
OPENED = b'"kind":"log.opened"'
STEPPED = b'"kind":"step.completed"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The newest attempt in a run directory. `outcome` is None while it runs and after it was lost."""

    exists: bool = False
    live: bool = False
    pid: int | None = None
    trained: bool = False
    """Whether any attempt took a step or left a checkpoint: something to lose."""
    outcome: Outcome | None = None
    config_hash: str | None = None
    opened_wall: float | None = None
    deadline_wall: float | None = None


def look(directory: Path) -> Found:
    """Look at `directory` without changing it. Raises `UsageError` where that cannot be done or would tell nothing.

    Lines are told apart by their bytes and few are decoded, so that a day's journal takes well under a second.
    """
    run = RunDir(directory)
    try:
        return _told(run) if run.events.is_file() else Found()
    except OSError as error:
        raise UsageError(
            f"The output directory {directory} cannot be used: {error.strerror}. Name another one with --output-dir."
        ) from error


def attempts(journal: Path) -> list[LogOpened]:
    """How each attempt so far began, oldest first. Decodes no other line; `journal` has been recovered."""
    with journal.open("rb") as lines:
        events = [decode(line).event for line in lines if OPENED in line]
    return [event for event in events if isinstance(event, LogOpened)]


def _told(run: RunDir) -> Found:
    outcome: Outcome | None = None
    configured: RunConfigured | None = None
    stepped = False
    saved = bool(run.checkpoints())
    with run.events.open("rb") as lines:
        for number, line in enumerate(lines):
            if number == 0 and not saved:
                _must_be_ours(run.events, line)
            if STEPPED in line:
                stepped = True
            elif OPENED in line:
                outcome = None
            elif CONFIGURED in line or STOPPED in line:
                try:
                    event = decode(line).event
                except BadLine:
                    continue
                if isinstance(event, RunConfigured):
                    configured = event
                elif isinstance(event, RunStopped):
                    outcome = event.outcome
    live = run.is_live()
    engine = run.read_engine() if live else None
    return Found(
        exists=True,
        live=live,
        pid=engine.pid if engine else None,
        trained=stepped or saved,
        outcome=None if live else outcome,
        config_hash=configured.config_hash if configured else None,
        opened_wall=configured.opened_wall if configured else None,
        deadline_wall=configured.deadline_wall if configured else None,
    )


def _must_be_ours(journal: Path, first: bytes) -> None:
    """Somebody else's events.jsonl must not be written into: an engine would cut it down to what it understands."""
    try:
        decode(first)
    except BadLine as error:
        raise UsageError(
            f"{journal} is not the journal of a run, or its beginning is damaged ({error}). Name another --output-dir."
        ) from error
