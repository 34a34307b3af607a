"""What the loop reads of a plan, and the plan as it was announced: checkpoint state, never made anew by a resume."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from engine.training.placement import Placement
from states.events import RunPlanned

_EVENT = {field.name for field in fields(RunPlanned)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The announced plan, and the two numbers besides that the loop needs."""

    event: RunPlanned
    eval_subset_tokens: int
    step_s: float
    adjusted: tuple[str, ...] = ()
    """What the plan changed of bins and recomputing; it stays changed when the plan is made again."""
    made_s: float = 0.0
    """Seconds from the start of the process until the plan was made."""

    @property
    def planned_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.event.planned_steps

    @property
    def warmup_steps(self) -> int:
        """Of which the learning rate rises."""
        return self.event.warmup_steps

    @property
    def eval_every(self) -> int:
        """Steps between two evaluations."""
        return self.event.eval_every

    def placed(self, placement: Placement) -> Placement:
        """With the bins and the recomputing of this plan."""
        event = self.event
        return replace(
            placement,
            bin_tokens=placement.bin_tokens if event.bin_tokens is None else event.bin_tokens,
            recompute=placement.recompute if event.recompute is None else event.recompute,
        )

    def to_json(self) -> dict[str, Any]:
        """The form a checkpoint records."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Planned:
        """Inverse of `to_json`."""
        event = {name: value for name, value in data["event"].items() if name in _EVENT}
        return cls(
            event=RunPlanned(**{**event, "changes": tuple(event["changes"])}),
            eval_subset_tokens=data["eval_subset_tokens"],
            step_s=data["step_s"],
            adjusted=tuple(data.get("adjusted", ())),
        )
