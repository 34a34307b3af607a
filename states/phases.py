"""The words of a run: where it is, what moves it, why it ended, and the exit code that says so."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Phase(StrEnum):
    """Where a run is. Pausing is a flag inside Warmup and Main, not a phase."""

    SETUP = "setup"
    INIT = "init"
    WARMUP = "warmup"
    MAIN = "main"
    FINALIZE = "finalize"
    STOPPED = "stopped"


class Trigger(StrEnum):
    """What moves a run. Only the training thread fires triggers."""

    ADVANCE = "advance"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    FINISH = "finish"
    CANCEL = "cancel"
    HURRY = "hurry"
    CLOSE = "close"
    FAIL = "fail"


class Reason(StrEnum):
    """Why a run left training."""

    TARGET = "target"
    """The planned steps are done."""
    DEADLINE = "deadline"
    """The window ran short and the horizon was completed in time."""
    EARLY_STOP = "early_stop"
    """The validation loss stopped improving."""
    OPERATOR = "operator"
    """A person asked for it."""
    SIGNAL = "signal"
    """SIGINT or SIGTERM: stopped before the horizon, resumable."""
    ERROR = "error"
    """An exception ended the run."""


class Outcome(StrEnum):
    """How a stopped run is to be read."""

    FINISHED = "finished"
    """Its horizon was completed, or it was deliberately ended, and Finalize ran."""
    INTERRUPTED = "interrupted"
    """A signal stopped it; a checkpoint is there to resume from."""
    CANCELLED = "cancelled"
    """It was aborted, or stopped before there was anything to finalize."""
    FAILED = "failed"
    """An error ended it."""


class ExitCode(IntEnum):
    """Process exit codes; stable, documented in the README."""

    FINISHED = 0
    ERROR = 1
    USAGE = 2
    DATA = 3
    INTERRUPTED = 75
    CANCELLED = 130


class Cause(StrEnum):
    """Why a checkpoint was written."""

    SCHEDULE = "schedule"
    OPERATOR = "operator"
    BEST = "best"
    SIGNAL = "signal"
    FINAL = "final"


TRAINING = (Phase.WARMUP, Phase.MAIN)


def outcome(reason: Reason, *, finalized: bool) -> Outcome:
    """How a run that ended for `reason` is to be read; `finalized` says whether Finalize ran to its end."""
    if reason is Reason.ERROR:
        return Outcome.FAILED
    if not finalized:
        return Outcome.CANCELLED
    return Outcome.INTERRUPTED if reason is Reason.SIGNAL else Outcome.FINISHED


def exit_code(result: Outcome) -> ExitCode:
    """The process exit code of a stopped run."""
    return {
        Outcome.FINISHED: ExitCode.FINISHED,
        Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
        Outcome.CANCELLED: ExitCode.CANCELLED,
        Outcome.FAILED: ExitCode.ERROR,
    }[result]
