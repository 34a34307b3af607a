"""The plan as the trainer uses it: the few numbers the loop reads, made by `engine.plan`, kept in every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from configs.schema import Config
from engine.data.prepare import Prepared
from engine.training.progress import Progress
from engine.training.session import Session
from states.patience import Patience
from states.schedule import begin as begin_horizon

if TYPE_CHECKING:
    from engine.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the loop follows."""

    planned_steps: int
    warmup_steps: int
    eval_every: int
    eval_subset_tokens: int
    step_s: float

    def to_json(self) -> dict[str, Any]:
        """The form a checkpoint records."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Planned:
        """Inverse of `to_json`."""
        return cls(**data)


def begin(config: Config, plan: Planned) -> Progress:
    """The position of a run that has taken no step."""
    return Progress(
        horizon=begin_horizon(plan.planned_steps, plan.warmup_steps),
        patience=Patience(limit=config.safety.early_stopping_patience),
    )


def plan_first(session: Session, prepared: Prepared) -> Planned:
    """The plan of Setup."""
    training = session.config.training
    per_epoch = -(-len(prepared.train) // training.conversations_per_step)
    planned = per_epoch * training.num_train_epochs
    return Planned(
        planned_steps=planned,
        warmup_steps=min(training.warmup_steps, planned // 10),
        eval_every=max(1, min(training.eval_steps, planned // 10)),
        eval_subset_tokens=4000,
        step_s=0.5,
    )


def plan_again(session: Session, trainer: Trainer) -> None:
    """The plan of Init."""
