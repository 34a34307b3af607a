"""Where a training run is: the counters and the pure state that a checkpoint must hold to go on exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from states.patience import Patience
from states.schedule import Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Everything about a run's position that is not a tensor.

    `step` counts optimizer steps attempted, so it is also the sampler's position: a rejected step has used its data.
    """

    horizon: Horizon
    patience: Patience
    step: int = 0
    tokens: int = 0
    targets: int = 0
    trained_s: float = 0.0
    paused_s: float = 0.0
    rejected_steps: int = 0
    """Rejected optimizer steps in a row."""
    evaluated_step: int = -1
    """Step of the newest in-training evaluation."""
    saved_step: int = -1
    """Step of the newest durable checkpoint."""
    start_loss: float | None = None
    """Loss of the untouched model over the whole validation set."""

    def to_json(self) -> dict[str, Any]:
        """JSON form; floats survive a round trip bit for bit."""
        return {
            "horizon": self.horizon.to_json(),
            "patience": self.patience.to_json(),
            "step": self.step,
            "tokens": self.tokens,
            "targets": self.targets,
            "trained_s": self.trained_s,
            "paused_s": self.paused_s,
            "rejected_steps": self.rejected_steps,
            "evaluated_step": self.evaluated_step,
            "saved_step": self.saved_step,
            "start_loss": self.start_loss,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        """Inverse of `to_json`."""
        rest = {name: value for name, value in data.items() if name not in ("horizon", "patience")}
        return cls(horizon=Horizon.from_json(data["horizon"]), patience=Patience.from_json(data["patience"]), **rest)

    def stepped(self, *, tokens: int, targets: int) -> Progress:
        """After one optimizer step, of which only that it was begun need be known."""
        return replace(self, step=self.step + 1, tokens=self.tokens + tokens, targets=self.targets + targets)

    def told(self, *, step_s: float, rejected: bool) -> Progress:
        """After a step came back from the device."""
        return replace(
            self,
            trained_s=self.trained_s + step_s,
            rejected_steps=self.rejected_steps + 1 if rejected else 0,
        )

    def moved(self, horizon: Horizon) -> Progress:
        """On a new horizon."""
        return replace(self, horizon=horizon)

    def paused(self, seconds: float) -> Progress:
        """After a pause."""
        return replace(self, paused_s=self.paused_s + seconds)
