"""What the loop reads of a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the loop follows, kept in every checkpoint: a resume goes on with it and never plans anew."""

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
