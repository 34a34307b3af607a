"""Telling what the routers did, with the alarms that follow from it, and what the experts were found to be worth."""

from __future__ import annotations

from collections.abc import Callable

from engine.data.batches import Steps, make_bins
from engine.data.example import Example
from engine.model.prototypes import recentre_routers
from engine.model.tally import RoutingSample
from engine.quality.experts import examine, num_passes
from engine.training.evaluate import EvalResult
from engine.training.memory import in_memory
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import ExpertsExamined, ExpertsSampled

FIRST_RECENTRING = 4
"""Before it the learning rate has hardly risen, so that nothing has moved."""

LEAST_TOKENS = 2048
"""Of the conversations whose mean is taken: it moves by a few hundredths of a token's deviation."""
MOST_STEPS = 16
"""Whose conversations are looked at, however short they are."""


def recentring_is_due(step: int, planned_steps: int) -> bool:
    """Whether routers are recentred after `step`: at 4, 6, 9, 14 and so on, in the first three quarters of the run.

    Adapters move the mean hidden state fast at first and ever more slowly, so the distances grow with the step.
    """
    due = FIRST_RECENTRING
    while due < step:
        due += (due + 1) // 2
    return due == step and 4 * step <= 3 * planned_steps


def keep_centred(session: Session, trainer: Trainer) -> None:
    """Recentre routers that started from prototypes, where it is due, on the conversations of the next steps.

    It depends on the parameters and the step alone, so that a resumed run does the same.
    """
    spec, step = trainer.adapted.spec, session.step
    if not spec.routed or trainer.config.moe.router_init != "prototypes":
        return
    if not recentring_is_due(step, trainer.plan.planned_steps):
        return
    examples = _coming(trainer.steps, step)
    in_memory(session, trainer, lambda: recentre_routers(trainer.adapted, make_bins(examples, trainer.bin_tokens)))


def _coming(steps: Steps, step: int) -> list[Example]:
    """The conversations of the next two steps, and of as many more as make a steady mean."""
    found = [*steps.at(step), *steps.at(step + 1)]
    for later in range(step + 2, step + MOST_STEPS):
        if sum(example.tokens for example in found) >= LEAST_TOKENS:
            break
        found += steps.at(later)
    return found


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
