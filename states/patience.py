"""Early stopping as a pure fold over validation losses."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The best loss so far and how many evaluations in a row did not improve on it."""

    limit: int
    """Evaluations without improvement that end training."""
    best_loss: float | None = None
    best_step: int | None = None
    last_loss: float | None = None
    bad: int = 0

    def after(self, loss: float | None, step: int) -> Self:
        """With one more evaluation. Only a strictly lower, finite loss is an improvement."""
        known = loss if loss is not None and math.isfinite(loss) else None
        if known is not None and (self.best_loss is None or known < self.best_loss):
            return replace(self, best_loss=known, best_step=step, last_loss=known, bad=0)
        return replace(self, last_loss=known, bad=self.bad + 1)

    @property
    def exhausted(self) -> bool:
        """Whether `limit` evaluations in a row did not improve."""
        return self.bad >= self.limit

    def to_json(self) -> dict[str, Any]:
        """JSON form; floats survive a round trip bit for bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_json`; fields of a later version are ignored."""
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})
