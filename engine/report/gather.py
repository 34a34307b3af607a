"""From a run directory to its story: the journal folded once, and the few files that stand beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from engine.checkpoint.manifest import MANIFEST
from engine.quality.findings import Evaluation as Findings
from engine.quality.findings import from_json
from engine.report.facts import Beside, Story
from engine.report.tally import Tally
from engine.run.rundir import RunDir
from engine.run.scan import scan
from engine.run.status import Liveness, liveness
from states.reducer import reduce
from states.shapes import write_any
from states.text import one_line
from states.view import RunView

MOST_BYTES = 64 << 20
"""No file beside the journal comes near it; a larger one is not read."""
EVALUATIONS = (Path("evaluation") / "evaluation.json", Path("evaluation-quick") / "evaluation.json")
"""The whole one before the quick one."""
_WEIGHTS = {"adapter_sha256": "adapter_model.safetensors", "experts_sha256": "moe_layers.safetensors"}
"""What an evaluation says it read, and the file that the manifest has the hash of."""


def gather(rundir: RunDir, *, wandb_run_id: str | None = None, ended: bool = False) -> Story:
    """Fold the journal and read what stands beside it. A file that is missing or damaged leaves its part empty.

    `ended` is for the engine itself, which still holds the lock when its run has stopped.
    """
    # The lock first, the journal after it: an engine that stops in between is not taken for lost.
    live = rundir.is_live()
    view, tally, torn = RunView(), Tally(), 0
    if rundir.events.is_file():
        view, tally, torn = _pass(rundir.events, live=live)
    state = liveness(view, live=live)
    if ended and state is Liveness.STOPPING:
        state = Liveness.STOPPED
    return Story(
        name=one_line(rundir.path.absolute().name, 80),
        liveness=state,
        view=view,
        attempts=tuple(tally.attempts),
        first_plan=tally.first_plan,
        plan=tally.plan,
        opened_wall=tally.opened_wall,
        gpu_name=one_line(tally.gpu_name, 120),
        spans=tuple(tally.spans),
        moments=tuple(tally.moments),
        saves=tuple(tally.saves),
        spent=tally.spent,
        curves=tally.curves,
        tallies=tally.tallies,
        beside=_beside(rundir, wandb_run_id),
        torn_bytes=torn,
    )


def _pass(events: Path, *, live: bool) -> tuple[RunView, Tally, int]:
    view, tally, end = RunView(), Tally(), 0
    descriptor = os.open(events, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for end, record in scan(descriptor):  # noqa: B007  (the offset of the last good record is used below)
            before, view = view, reduce(view, record)
            tally.see(before, view, record)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    tally.close()
    # A live engine may have begun a line that it is about to finish.
    return view, tally, 0 if live else size - end


def _beside(rundir: RunDir, wandb_run_id: str | None) -> Beside:
    findings, problem = _findings(rundir.path)
    info = _json(rundir.path / "model_info.json")
    tracker = _json(rundir.tracker_json).get("wandb_id")
    known = wandb_run_id or (tracker if isinstance(tracker, str) and tracker else None)
    return Beside(
        evaluation=findings,
        evaluation_problem=problem,
        model_info=info,
        tracker_id=None if known is None else one_line(known, 120),
        published=(rundir.path / MANIFEST).is_file() and bool(info),
    )


def _findings(run: Path) -> tuple[Findings | None, str]:
    problem = ""
    for name in EVALUATIONS:
        if not (run / name).is_file():
            continue
        try:
            found = from_json(_json(run / name, strict=True))
            if _is_of(found, run):
                return found, ""
            problem = problem or f"{name.parent} is of other weights than the model here; run.py evaluate makes it anew"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = problem or one_line(f"{name} cannot be read: {type(error).__name__}", 200)
    return None, problem


def _is_of(found: Findings, run: Path) -> bool:
    """Whether it was made of the weights at the root, as far as both say: a run may have gone on since."""
    files = _json(run / MANIFEST).get("files")
    for told, name in _WEIGHTS.items():
        there, read = files.get(name) if isinstance(files, dict) else None, found.model.get(told)
        if isinstance(there, dict) and read is not None and there.get("sha256") not in (None, read):
            return False
    return True


def _json(path: Path, *, strict: bool = False) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return {}
        told = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        if strict:
            raise
        return {}
    if strict and not isinstance(told, dict):
        raise TypeError("it is no object")
    # Other programs wrote it: nothing in it may drive a terminal or hide in a page.
    return write_any(told) if isinstance(told, dict) else {}
