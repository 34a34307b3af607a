"""The report that a run leaves by itself: promised before its last record, written after it, so that it tells the end.

It cannot fail the run, and it is left out where there is no time for it: `run.py report` writes it whenever one likes.
"""

from __future__ import annotations

import sys
import threading

from engine.plan.layout import REPORT_S
from engine.training.session import Session
from states.events import MessageLogged
from states.phases import Outcome
from states.text import one_line

READ_BYTES_PER_S = 4e6
"""Of a journal: what two busy cores fold, with room to spare."""

PATIENCE_S = 60.0
"""More than a hundred times what a report takes: the rented machine must not wait for a page."""


def promise_report(session: Session, result: Outcome) -> bool:
    """Say in the journal where the report will be, or why there is none; whether it is to be written."""
    if result not in (Outcome.FINISHED, Outcome.FAILED) or session.progress is None:
        return False
    place = session.rundir.path
    left = session.remaining_s()
    needed = REPORT_S + _journal_bytes(session) / READ_BYTES_PER_S
    why = ""
    if session.flags.hurry or session.flags.stop:
        why = "the run was told to hurry"
    elif left is not None and left < needed and result is Outcome.FINISHED:
        why = "the window is over"
    if why:
        text = f"No report was written, because {why}; `python run.py report {place}` writes it."
    else:
        text = f"The report follows: training_report.pdf and training_report.html in {place}."
    session.emit(MessageLogged(level="INFO", logger="stint", text=text))
    return not why


def leave_report(session: Session) -> None:
    """Write the report of the run that has just been recorded as stopped; given up where it takes too long."""
    failed: list[str] = []

    def write() -> None:
        try:
            from engine.report.write import write_report

            write_report(session.rundir, ended=True)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with a report, the run is what counts)
            failed.append(one_line(f"{type(error).__name__}: {error}", 300))

    patience_s = PATIENCE_S + _journal_bytes(session) / READ_BYTES_PER_S
    thread = threading.Thread(target=write, name="report", daemon=True)
    thread.start()
    thread.join(patience_s)
    if thread.is_alive():
        failed.append(f"it was not ready after {patience_s:.0f} s")
    for words in failed:
        print(f"stint: the report was not written: {words}", file=sys.stderr, flush=True)


def _journal_bytes(session: Session) -> int:
    try:
        return session.rundir.events.stat().st_size
    except OSError:
        return 0
