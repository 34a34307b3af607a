"""Telling what the routers did, with the alarms that follow from it, and what the experts were found to be worth."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.tally import RoutingSample
from engine.quality.experts import examine, num_passes
from engine.training.evaluate import EvalResult
from engine.training.memory import in_memory
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import ExpertsExamined, ExpertsSampled


def tell_sample(
    session: Session,
    trainer: Trainer,
    sample: RoutingSample,
    *,
    source: str,
    window_steps: int,
    step: int | None = None,
) -> None:
    """Record a routing sample of `train` or `eval`, of this step unless told, and every alarm it raises or ends."""
    event = ExpertsSampled(
        step=session.step if step is None else step,
        source=source,
        window_steps=window_steps,
        counts=sample.counts,
        token_entropy=sample.token_entropy,
        balance_loss=sample.balance_loss,
        domains=sample.domains,
        gate_mass=sample.gate_mass,
    )
    session.emit(event)
    trainer.watch, alarms = trainer.watch.after(event)
    for alarm in alarms:
        session.emit(alarm)


def examine_experts(
    session: Session, trainer: Trainer, result: EvalResult, step: int, stop: Callable[[], bool]
) -> ExpertsExamined | None:
    """Examine the model as it is, after its evaluation on all validation data; None where there is nothing to tell."""
    spec = trainer.adapted.spec
    if not spec.routed or result.interrupted or stop():
        return None
    with session.task("examine the experts", total=num_passes(spec.num_experts)) as progressed:
        examined = in_memory(
            session,
            trainer,
            lambda: examine(
                trainer.adapted,
                trainer.validation,
                step=step,
                domains=trainer.domains,
                bin_tokens=trainer.bin_tokens,
                seed=trainer.config.training.seed,
                stop=stop,
                assignments=result.assignments,
                progressed=progressed,
            ),
        )
    if examined is not None:
        session.emit(examined)
    return examined
