"""What the loop reads of a plan, and the plan as it was announced: checkpoint state, never made anew by a resume."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from states.events import RunPlanned


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The announced plan, and the two numbers besides that the loop needs."""

    event: RunPlanned
    eval_subset_tokens: int
    step_s: float

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

    def to_json(self) -> dict[str, Any]:
        """The form a checkpoint records."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Planned:
        """Inverse of `to_json`."""
        event = dict(data["event"])
        return cls(
            event=RunPlanned(**{**event, "changes": tuple(event["changes"])}),
            eval_subset_tokens=data["eval_subset_tokens"],
            step_s=data["step_s"],
        )
