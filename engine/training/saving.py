"""What goes into a checkpoint and how it comes back: the trainer's side of `engine.checkpoint`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.checkpoint.errors import CheckpointFailed, CheckpointInvalid
from engine.checkpoint.manifest import Meta
from engine.checkpoint.optimizer_state import load_optimizer, save_optimizer
from engine.checkpoint.retention import prune
from engine.checkpoint.store import save
from engine.checkpoint.trainer_state import NAME as TRAINER_STATE
from engine.checkpoint.trainer_state import TrainerState, read_trainer_state, write_trainer_state
from engine.checkpoint.verify import best_of, found, newest_valid, verify
from engine.model.export import adapter_writers, read_adapter, template_digest
from engine.training.progress import Progress
from engine.training.session import Session
from engine.training.trainer import Trainer
from engine.training.versions import versions
from states.events import (
    CheckpointCompleted,
    CheckpointPruned,
    CheckpointSkipped,
    CheckpointStarted,
    MessageLogged,
    RunRestored,
)
from states.events import CheckpointFailed as SaveFailed
from states.phases import Cause

OPTIMIZER = "optimizer.safetensors"


def save_now(session: Session, trainer: Trainer, cause: Cause, *, eval_loss: float | None = None) -> bool:
    """Write a checkpoint of this step boundary, then prune. A failed save is an event, and training goes on."""
    session.settle()
    before = session.training
    progress = replace(before, saved_step=before.step)
    name = f"checkpoint-{progress.step}"
    best = progress.patience.best_step == progress.step
    if best and eval_loss is None:
        # Saved once more at the step of the best evaluation: it stays the best.
        eval_loss = progress.patience.best_loss
    session.emit(CheckpointStarted(step=progress.step, path=name, cause=cause))
    writers: dict[str, Callable[[Path], None]] = {
        **adapter_writers(
            trainer.adapted,
            session.config.training.base_model,
            chat_template=template_digest(trainer.tokenizer.chat_template),
        ),
        OPTIMIZER: partial(save_optimizer, trainer.optimizer, trainer.adapted.parameters()),
        TRAINER_STATE: partial(write_trainer_state, _state(trainer, progress)),
    }
    meta = Meta(run_id=session.run_id, config_hash=session.config_hash, eval_loss=eval_loss, versions=versions())
    try:
        saved = save(session.rundir.path, progress.step, writers, cause=cause, meta=meta)
    except CheckpointFailed as error:
        session.emit(SaveFailed(step=progress.step, path=name, error=str(error)))
        return False
    session.progress = progress
    session.saved_mono = time.monotonic()
    trainer.pace.saves.append(saved.save_s)
    session.emit(
        CheckpointCompleted(
            step=progress.step,
            path=name,
            cause=cause,
            bytes=saved.bytes,
            save_s=saved.save_s,
            eval_loss=eval_loss,
            best=best,
        )
    )
    keep = session.config.training.save_total_limit
    for path in prune(
        session.rundir.path, keep=keep, best=best_checkpoint(session), on_error=partial(_not_removed, session)
    ):
        session.emit(CheckpointPruned(path=path.name))
    return True


def _not_removed(session: Session, path: Path, error: OSError) -> None:
    text = f"{path.name} should have been removed and could not be: {error.strerror}."
    session.emit(MessageLogged(level="WARNING", logger="stint", text=text))


def best_checkpoint(session: Session, *, hashes: bool = False) -> Path | None:
    """The best evaluation's checkpoint; where that is not on disk or damaged, the best sound one, else the newest.

    With `hashes` every byte is read again, and what is damaged is told.
    """
    step = session.training.patience.best_step
    checkpoints = found(session.rundir.path, hashes=hashes)
    sound = [item for item in checkpoints if item.verdict.ok]
    if hashes:
        for item in checkpoints:
            if not item.verdict.ok:
                session.emit(CheckpointSkipped(path=item.path.name, why=item.verdict.why))
    named = next((item for item in sound if item.step == step), None)
    chosen = named or best_of(sound) or (sound[-1] if sound else None)
    return chosen.path if chosen else None


def find_checkpoint(session: Session) -> Path | None:
    """The checkpoint this start resumes from: the one named, else the newest that verifies; None is a fresh start."""
    resume = session.launch.resume
    if resume is None:
        return None
    if resume == "auto":

        def skipped(path: Path, why: str) -> None:
            session.emit(CheckpointSkipped(path=path.name, why=why))

        return newest_valid(session.rundir.path, on_skip=skipped)
    path = Path(resume)
    verdict = verify(path)
    if not verdict.ok:
        raise CheckpointInvalid(
            f"The checkpoint {path} does not verify: {verdict.why}. `--resume auto` takes the newest one that does."
        )
    return path


def recorded(checkpoint: Path) -> dict[str, Any]:
    """Our own part of a checkpoint's trainer_state.json: progress, plan, pace and runtime."""
    return dict(read_trainer_state(checkpoint / TRAINER_STATE).stint)


def restore(session: Session, trainer: Trainer, path: Path) -> None:
    """Load a verified checkpoint: adapters, routing statistics, optimizer, counters."""
    state = read_trainer_state(path / TRAINER_STATE)
    read_adapter(trainer.adapted, path)
    load_optimizer(trainer.optimizer, trainer.adapted.parameters(), path / OPTIMIZER)
    progress = Progress.from_json(dict(state.stint["progress"]))
    # How long to be patient may be changed between two starts; what was seen so far may not.
    limit = session.config.safety.early_stopping_patience
    session.progress = replace(progress, patience=replace(progress.patience, limit=limit))
    trainer.pace.recall(state.stint["pace"])
    trainer.sampled_step = progress.step
    trainer.history = [dict(entry) for entry in state.log_history]
    session.emit(
        RunRestored(
            checkpoint=path.name,
            step=session.progress.step,
            tokens=session.progress.tokens,
            trained_s=session.progress.trained_s,
        )
    )
    _leave_behind(session, path)


def _leave_behind(session: Session, path: Path) -> None:
    """Set later checkpoints aside when a person goes back to an earlier one, or the next resume would find them."""
    if session.launch.resume == "auto":
        return
    step = verify(path, hashes=False).manifest
    for later in session.rundir.checkpoints():
        if step is not None and int(later.name.rpartition("-")[2]) > step.step:
            aside = later.with_name(f"abandoned-{later.name}-{session.run_id}-{int(session.started_mono)}")
            later.rename(aside)
            session.emit(
                MessageLogged(level="WARNING", logger="stint", text=f"{later.name} was set aside as {aside.name}.")
            )


def _state(trainer: Trainer, progress: Progress) -> TrainerState:
    """trainer_state.json: the Hugging Face shape for other tools, the exact state for ours."""
    training = trainer.config.training
    patience = progress.patience
    return TrainerState(
        global_step=progress.step,
        epoch=trainer.steps.epoch(progress.step),
        max_steps=progress.horizon.total_steps,
        num_train_epochs=float(training.num_train_epochs),
        logging_steps=training.logging_steps,
        eval_steps=trainer.eval_every,
        save_steps=0,
        train_batch_size=training.per_device_train_batch_size,
        num_input_tokens_seen=progress.tokens,
        best_metric=patience.best_loss,
        best_global_step=patience.best_step,
        best_model_checkpoint=f"checkpoint-{patience.best_step}" if patience.best_step is not None else None,
        log_history=tuple(trainer.history),
        stint={
            "progress": progress.to_json(),
            "plan": trainer.plan.to_json(),
            "pace": trainer.pace.to_json(),
            "runtime": trainer.runtime,
        },
    )
