"""What a start means: a fresh run, a resume, or a refusal, decided before anything is spawned or any directory made."""

from __future__ import annotations

import time
from pathlib import Path

from configs.errors import UsageError
from configs.identity import config_hash
from configs.schema import Config
from engine.run.locate import newest_demo
from engine.training.found import look
from engine.training.launch import Launch
from engine.training.output import check_free, check_writable, next_demo
from engine.training.resuming import resumed
from engine.training.window import opening
from states.phases import Outcome


def decide(
    config: Config,
    directory: Path,
    *,
    demo: bool,
    resume: str | None,
    hours: float | None,
    deadline: str | None,
    manual: bool,
    said: tuple[str, ...] = (),
) -> Launch:
    """A start into `directory`, or a refusal as a `UserError`; `AlreadyFinished` where nothing is left to do.

    Args:
        config: the configuration of this start; a resume may go on with the run's own instead.
        directory: the run directory, which need not exist.
        demo: whether this is the built-in demo, which counts its directories up instead of refusing.
        resume: `auto`, the path of a checkpoint in `directory`, or None for a start without `--resume`.
        hours: length of the window from now, over the configured one.
        deadline: end of the window as typed.
        manual: whether the plan must be left as configured.
        said: sentences about how the configuration was chosen.
    """
    now = time.time()
    if demo and resume == "auto":
        directory = newest_demo(directory).path
    found = look(directory)
    if found.live:
        raise UsageError(
            f"A run is going on in {directory} (process {found.pid}). `python run.py attach {directory}` shows it; "
            "another --output-dir starts a second one."
        )
    check_writable(directory)
    if demo and resume is None and found.outcome is Outcome.FINISHED:
        directory = next_demo(directory)
        said = (*said, f"The last demo run is finished, so this one goes to {directory}.")
        found = look(directory)
    if found.outcome is Outcome.FINISHED and resume is None:
        raise UsageError(
            f"{directory} holds a finished run. Give --output-dir for a new one; "
            f"`python run.py attach {directory}` shows the old one."
        )
    same = found.config_hash == config_hash(config)
    if resume is not None or (found.exists and same):
        return resumed(
            config,
            directory,
            found,
            resume=resume or "auto",
            hours=hours,
            deadline=deadline,
            manual=manual,
            now=now,
            said=said,
        )
    if found.trained:
        raise UsageError(
            f"{directory} holds an unfinished run with a different configuration. `--resume auto` goes on with its "
            "own configuration; another --output-dir starts a new run."
        )
    if found.exists:
        said = (*said, f"The run in {directory} ended before it trained anything: starting over in its place.")
    else:
        check_free(directory)
    window = opening(hours=hours, deadline=deadline, configured_hours=config.window_hours, now=now)
    return Launch(config=config, directory=directory, window=window, manual=manual, said=said)
