"""Which model is meant by a path, and what the run it comes from recorded. Light: no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from configs.errors import ConfigError, UsageError
from configs.identity import from_resolved
from configs.schema import Config
from engine.checkpoint.errors import CheckpointInvalid
from engine.checkpoint.trainer_state import NAME as TRAINER_STATE
from engine.checkpoint.trainer_state import read_trainer_state
from engine.run.locate import find_run
from engine.run.rundir import RunDir

SUMS = "SHA256SUMS"
"""In a release; `engine.release.sums` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A trained model as it was named."""

    source: Path
    """A run, a checkpoint, or a folder with an adapter's files."""
    run: Path | None
    """The run it belongs to, where one is around it."""
    config: Config | None
    """What that run recorded."""

    def evaluation_dir(self, *, quick: bool) -> Path:
        """Where its evaluation is written unless a person says otherwise: never a short one over a whole one."""
        name = "evaluation-quick" if quick else "evaluation"
        if (self.source / SUMS).is_file():
            # A release is what its hashes say: nothing is written into it.
            return self.source.absolute().with_name(f"{self.source.absolute().name}-{name}")
        if self.run is None or self.run == self.source:
            return self.source / name
        return self.run / f"{name}-{self.source.absolute().name}"

    def trained_domains(self) -> tuple[str, ...] | None:
        """The domains of its training data as the adapter's files name them, sorted; None where there are none."""
        from engine.model.export import read_spec
        from engine.model.routed import find_adapter

        return read_spec(find_adapter(self.source)).domains or None

    def trained_on(self) -> list[str] | None:
        """SHA-256 of the data files that its run trained on; None where nothing says so."""
        folders = [self.source, *(reversed(RunDir(self.run).checkpoints()) if self.run else ())]
        for folder in folders:
            try:
                known = read_trainer_state(folder / TRAINER_STATE).stint["runtime"]["data"]
            except (CheckpointInvalid, KeyError, TypeError):
                continue
            return [str(digest) for digest in known]
        return None


def find_subject(model_path: Path | None) -> Subject:
    """The model of a path, by default the run of the working directory. Raises `UsageError` or `ConfigError`."""
    source = find_run(None).path if model_path is None else model_path
    if not source.exists():
        raise UsageError(f"There is no {source}. Name a run, a checkpoint, or a folder with an adapter's files.")
    if not source.is_dir():
        raise UsageError(f"{source} is a file. Name the run, checkpoint or adapter folder that holds it.")
    for run in (source, source.absolute().parent):
        record = RunDir(run).resolved_config
        if record.is_file():
            return Subject(source=source, run=run, config=_recorded(record))
    return Subject(source=source, run=None, config=None)


def _recorded(path: Path) -> Config:
    try:
        return from_resolved(orjson.loads(path.read_bytes()), name=str(path))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: not valid JSON ({error.msg}).") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
