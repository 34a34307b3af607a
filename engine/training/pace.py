"""How fast this run goes and what that leaves: the live numbers behind the horizon rule and the reserve."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.plan.layout import MARGIN, REPORT_S

WINDOW = 32
"""Steps in the median: enough to shrug off a hiccup, few enough to follow a change of speed within a minute."""
LEAST = 3
"""Steps before the median is trusted."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """Measured seconds of the parts of a run. The first step of a process does not count: it warms caches."""

    planned_step_s: float
    """What the plan assumed; used until enough steps were seen."""
    steps: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    evals: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    saves: deque[float] = field(default_factory=lambda: deque(maxlen=8))
    full_eval_s: float = 0.0
    """Seconds of one pass over the whole validation set, the larger part of Finalize."""
    judged_step_s: float = 0.0
    """Seconds of the first steps after that; 0 until they were measured."""
    examination: float = 0.0
    """What examining the experts costs, in such passes; none without experts."""
    _warm: bool = False

    def stepped(self, seconds: float) -> None:
        """One more step took `seconds`."""
        if self._warm:
            self.steps.append(seconds)
        self._warm = True
        if len(self.steps) == LEAST and not self.judged_step_s:
            self.judged_step_s = self.step_s

    @property
    def step_s(self) -> float:
        """Median seconds of a step, or the plan's until `LEAST` were measured."""
        return statistics.median(self.steps) if len(self.steps) >= LEAST else self.planned_step_s

    @property
    def eval_s(self) -> float:
        """Longest recent in-training evaluation."""
        return max(self.evals, default=0.0)

    @property
    def save_s(self) -> float:
        """Longest recent checkpoint write."""
        return max(self.saves, default=0.0)

    @property
    def slowdown(self) -> float:
        """How much slower steps have become since the whole validation set was read; 1 where they have not."""
        return max(1.0, self.step_s / self.judged_step_s) if self.judged_step_s > 0 else 1.0

    @property
    def finalize_s(self) -> float:
        """What Finalize is expected to take at today's pace, with a half more for what was not measured.

        The examination comes last and may be cut short: it gets what it should take and no more.
        """
        judged = self.full_eval_s * self.slowdown
        return MARGIN * (judged + self.eval_s + 2 * self.save_s) + self.examination * judged + REPORT_S

    def all_in_step_s(self, *, eval_every: int, save_interval_s: float) -> float:
        """Seconds a step takes with its share of the evaluations and saves between steps.

        An evaluation may find a new best, which is saved at once.
        """
        saving = self.step_s * self.save_s / save_interval_s
        return self.step_s + saving + (self.eval_s + self.save_s) / eval_every

    def to_json(self) -> dict[str, float]:
        """What a checkpoint keeps, so that a resume does not start from a guess again."""
        return {
            "step_s": self.step_s,
            "eval_s": self.eval_s,
            "save_s": self.save_s,
            "full_eval_s": self.full_eval_s,
            "judged_step_s": self.judged_step_s,
        }

    def recall(self, data: Mapping[str, float]) -> None:
        """Take up what a checkpoint kept."""
        self.planned_step_s = data["step_s"]
        self.judged_step_s = data.get("judged_step_s", 0.0)
        self.full_eval_s = data["full_eval_s"]
        self.evals.extend([data["eval_s"]] if data["eval_s"] else [])
        self.saves.extend([data["save_s"]] if data["save_s"] else [])
