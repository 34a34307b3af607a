"""Going on with a run: which one a checkpoint belongs to, with which configuration, and inside which window."""

from __future__ import annotations

from pathlib import Path

import orjson

from configs.errors import UsageError
from configs.identity import config_hash, differences, from_resolved
from configs.schema import Config
from engine.checkpoint.errors import CheckpointInvalid
from engine.checkpoint.trainer_state import NAME as TRAINER_STATE
from engine.checkpoint.trainer_state import read_trainer_state
from engine.checkpoint.verify import verify
from engine.model.fingerprint import fingerprint
from engine.run.rundir import RunDir
from engine.training.found import Found
from engine.training.launch import Launch
from engine.training.window import Window, continuing, opening
from states.phases import Outcome

MAX_SHOWN = 3


class AlreadyFinished(Exception):  # noqa: N818  (no error: `--resume auto` on a finished run is a success)
    """There is nothing left to do."""


def run_of(checkpoint: str) -> Path:
    """The run directory that a whole checkpoint lies in. Raises `UsageError` for any other path."""
    path = Path(checkpoint)
    if not checkpoint or not path.is_dir():
        raise UsageError(
            f"--resume {checkpoint or repr('')} is not a directory. Give `auto`, or a checkpoint such as "
            "RUN/checkpoint-500."
        )
    if RunDir(path).events.is_file():
        raise UsageError(
            f"--resume {path} is a run, not a checkpoint. `--resume auto --output-dir {path}` goes on from its newest "
            f"one; `python run.py checkpoint list {path}` shows them all."
        )
    run = path.absolute().parent
    if not RunDir(run).events.is_file():
        raise UsageError(
            f"--resume {path} is no checkpoint of a run: there is no events.jsonl beside it. Give `auto`, or a "
            "checkpoint such as RUN/checkpoint-500."
        )
    verdict = verify(path)
    if not verdict.ok:
        raise UsageError(
            f"--resume {path} is no checkpoint to go on from: {verdict.why}. `--resume auto` takes the newest one "
            f"that verifies; `python run.py checkpoint verify {run}` judges them all."
        )
    return run


def resumed(
    config: Config,
    directory: Path,
    found: Found,
    *,
    resume: str,
    hours: float | None,
    deadline: str | None,
    manual: bool,
    now: float,
    said: tuple[str, ...],
) -> Launch:
    """Go on in `directory`: with `config` where it computes the same steps, else with the run's own."""
    if not found.exists:
        raise UsageError(
            f"There is nothing to resume in {directory}: no run is there (it has no events.jsonl). Correct "
            "--output-dir, or leave --resume out to start one."
        )
    if found.outcome is Outcome.FINISHED:
        raise AlreadyFinished(f"The run in {directory} is finished: nothing to resume.")
    if found.config_hash is None or found.opened_wall is None:
        window = opening(hours=hours, deadline=deadline, configured_hours=config.window_hours, now=now)
        said = (*said, f"The run in {directory} ended before it was configured: starting it from the beginning.")
        return Launch(config=config, directory=directory, window=window, resume=resume, manual=manual, said=said)
    said = (*said, f"Going on with the unfinished run in {directory}.")
    if found.config_hash != config_hash(config):
        own = _own_config(directory)
        said = (*said, _without_effect(own, config))
        config = own
    before = Window(opened_wall=found.opened_wall, deadline_wall=found.deadline_wall)
    if config.window_hours is None and hours is None and deadline is None:
        window = Window(opened_wall=found.opened_wall, deadline_wall=None)
    else:
        window = continuing(before, hours=hours, deadline=deadline, now=now)
    return Launch(config=config, directory=directory, window=window, resume=resume, manual=manual, said=said)


def refuse_another_base(directory: Path, base: Path) -> None:
    """Adapters trained on one base mean nothing on another of the same shape; raises `UsageError` for one.

    A run without a readable checkpoint has nothing to compare with; Init compares again with the one it restores.
    """
    for checkpoint in reversed(RunDir(directory).checkpoints()):
        try:
            known = read_trainer_state(checkpoint / TRAINER_STATE).stint["runtime"]["base"]
        except (OSError, CheckpointInvalid, KeyError, TypeError):
            continue
        if known != fingerprint(base):
            raise UsageError(
                f"The weights or the tokenizer of the base model in {base} are not those that the run in {directory} "
                "began with, so its checkpoints cannot go on with it. Put the old base back, or start a new run with "
                "another --output-dir."
            )
        return


def _own_config(directory: Path) -> Config:
    path = RunDir(directory).resolved_config
    try:
        return from_resolved(orjson.loads(path.read_bytes()), name=str(path))
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}), so the run cannot go on with its own configuration. Give the one it "
            "was started with."
        ) from error


def _without_effect(own: Config, given: Config) -> str:
    changes = differences(own, given)
    more = f" and {len(changes) - MAX_SHOWN} more" if len(changes) > MAX_SHOWN else ""
    return (
        "It keeps its own configuration; without effect here: "
        f"{', '.join(changes[:MAX_SHOWN])}{more}. Another --output-dir starts a new run."
    )
