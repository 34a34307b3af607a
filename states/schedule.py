"""The learning rate over a horizon that can be replanned: linear warm-up, then a cosine that ends where time does.

The step after `k` completed ones uses, of the peak,

    (k + 1) / W                          in warm-up, k < W: the line through 0, without a first step at rate 0
    (1 + cos(pi u)) / 2                  after it, u = (k - W) / (N - W)

which for k >= W is `transformers.get_cosine_schedule_with_warmup`. The last step (k = N - 1) still has a small rate.

After warm-up each step moves u by (1 - u) / R, R being the steps left. As long as the projected total stays the same,
that is a straight line from the last replan to 1, so the line's start is kept instead of a running sum: no rounding
error grows, and a checkpoint restores the curve bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Self

TOLERANCE: Final = 0.02
"""The projected total must move by more than this share before the curve is replanned."""
LONGEST_WARMUP: Final = 0.5
"""Share of the steps that warm-up may take when time runs short already during warm-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Where the schedule is and where it ends. `step` counts completed steps."""

    planned_steps: int
    """What was planned; a cool-down lowers it. The total never exceeds it."""
    total_steps: int
    """Where the curve ends: the plan, or less when time runs short."""
    warmup_steps: int
    """The slope of the warm-up is peak / warmup_steps."""
    warmup_end: int
    """Where warm-up gives way to the cosine: `warmup_steps`, or earlier when time runs short in it."""
    step: int = 0
    line_step: int = 0
    """Where the straight line of u began ..."""
    line_u: float = 0.0
    """... and its value there; it reaches 1 at `total_steps`."""

    @property
    def u(self) -> float:
        """Progress of the cosine, 0 to 1; exactly 1 once the horizon is reached."""
        if self.done:
            return 1.0
        if self.step <= self.line_step:
            return self.line_u
        part = (self.step - self.line_step) / (self.total_steps - self.line_step)
        return min(1.0, self.line_u + (1.0 - self.line_u) * part)

    @property
    def done(self) -> bool:
        """Whether all steps of the horizon are taken."""
        return self.step >= self.total_steps

    @property
    def warmed_up(self) -> bool:
        """Whether the next step is one of the cosine."""
        return self.step >= self.warmup_end

    def to_json(self) -> dict[str, Any]:
        """JSON form; floats survive a round trip bit for bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_json`; fields of a later version are ignored."""
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


def begin(planned_steps: int, warmup_steps: int) -> Horizon:
    """The horizon of a run that has taken no step."""
    return Horizon(
        planned_steps=planned_steps,
        total_steps=planned_steps,
        warmup_steps=warmup_steps,
        warmup_end=warmup_steps,
        line_step=warmup_steps,
    )


def learning_rate(horizon: Horizon, peak: float) -> float:
    """The rate of the next step."""
    if horizon.done:
        return 0.0
    if not horizon.warmed_up:
        return peak * ((horizon.step + 1) / horizon.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * horizon.u))
    if horizon.warmup_end < horizon.warmup_steps:
        # Warm-up was cut short: the curve falls from the rate that was reached.
        return peak * cosine * (max(1, horizon.warmup_end) / horizon.warmup_steps)
    return peak * cosine


def advance(horizon: Horizon, steps_left: int) -> Horizon:
    """The horizon after one more step.

    `steps_left` is R: how many steps there are from the one just taken, that one included, as `remaining_steps` tells.
    It changes the curve only when the total it implies differs by more than `TOLERANCE`.
    """
    total = horizon.step + max(1, min(steps_left, horizon.planned_steps - horizon.step))
    if not horizon.done and abs(total - horizon.total_steps) > TOLERANCE * horizon.total_steps:
        longest = max(LONGEST_WARMUP, horizon.warmup_steps / max(1, horizon.planned_steps))
        horizon = _replanned(horizon, total, warmup_end=int(total * longest))
    return replace(horizon, step=horizon.step + 1)


def cool_down(horizon: Horizon, steps_left: int) -> Horizon:
    """The horizon of a run that is to end after `steps_left` more steps, falling from the rate it has."""
    total = min(horizon.step + max(1, steps_left), horizon.planned_steps)
    return replace(_replanned(horizon, total, warmup_end=0), planned_steps=total)


def remaining_steps(
    planned_left: int, time_left: float | None, reserve: float, expected_other_s: float, median_step_s: float | None
) -> int:
    """R = max(1, min(planned steps left, (time left - reserve - expected evaluations and saves) / median step time)).

    Seconds. Without a deadline (`time_left` None) or a measured step, the plan alone decides.
    """
    if time_left is None or median_step_s is None or not 0 < median_step_s < math.inf:
        return max(1, planned_left)
    affordable = (time_left - reserve - expected_other_s) / median_step_s
    return max(1, planned_left if affordable >= planned_left else math.floor(affordable))


def _replanned(horizon: Horizon, total: int, *, warmup_end: int) -> Horizon:
    """From this step on to `total`; a warm-up under way ends no later than at `warmup_end`, nor in the past."""
    if horizon.warmed_up:
        return replace(horizon, total_steps=total, line_step=horizon.step, line_u=horizon.u)
    end = min(horizon.warmup_steps, max(horizon.step, warmup_end))
    return replace(horizon, total_steps=total, warmup_end=end, line_step=end, line_u=0.0)
