"""Everything a report may say about a run: its folded view, and what a view does not keep, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.quality.findings import Evaluation as Findings
from engine.run.status import Liveness
from states.events import RunPlanned
from states.phases import Outcome
from states.series import Series
from states.view import Evaluation, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One engine process: when it opened the journal, when it was last heard of, and how it ended."""

    number: int
    opened_wall: float
    last_wall: float
    first_step: int
    """The step it began or went on from."""
    last_step: int
    host: str = ""
    version: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None
    """None where it left no last record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of wall time: a phase by its name, or `pause`. Unix seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened at one instant. `kind` is a word for a legend, `tone` is info, good, warn or bad."""

    wall: float
    step: int
    kind: str
    text: str
    tone: str = "info"
    repeated: int = 1
    """How often in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where the seconds went, over all attempts; work that was done twice counts twice."""

    setup: float = 0.0
    """Setup and Init, without the evaluation of the untouched model."""
    training: float = 0.0
    evaluation: float = 0.0
    """Before Finalize."""
    checkpoints: float = 0.0
    """Before Finalize."""
    finalize: float = 0.0
    paused: float = 0.0
    down: float = 0.0
    """Between attempts, when no engine ran."""
    redone: float = 0.0
    """Of training: steps that a crash or a rollback lost."""
    data: float = 0.0
    """Of training: waiting for the next batch."""

    @property
    def booked(self) -> float:
        """What has a name."""
        parts = self.setup + self.training + self.evaluation + self.checkpoints
        return parts + self.finalize + self.paused + self.down


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Histories that a view does not keep; shares are between 0 and 1, memory in bytes."""

    least_share: Series = field(default_factory=Series)
    """The smallest share of any expert in any layer."""
    largest_share: Series = field(default_factory=Series)
    clipped: Series = field(default_factory=Series)
    """1 for a step whose gradient was above the limit, else 0."""
    gpu_memory: Series = field(default_factory=Series)
    """Sum over cards."""
    rss: Series = field(default_factory=Series)
    balance_loss: Series = field(default_factory=Series)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """How often something happened, in all attempts."""

    rejected: int = 0
    memory_reduced: int = 0
    smallest_bin: int | None = None
    checkpoints: int = 0
    checkpoint_failures: int = 0
    checkpoint_skips: int = 0
    replans: int = 0
    alarms: Mapping[str, int] = field(default_factory=dict)
    """Rule -> how often it was raised."""
    sinks: tuple[str, ...] = ()
    """Subscribers switched off."""
    moments_left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What stands beside the journal; each is None or empty where there is no such file or it cannot be read."""

    evaluation: Findings | None = None
    evaluation_problem: str = ""
    model_info: Mapping[str, Any] = field(default_factory=dict)
    tracker_id: str | None = None
    published: bool = False
    """Whether the best model stands at the root of the run directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A whole run, ready to be told."""

    name: str
    """The run directory's own name."""
    liveness: Liveness
    view: RunView
    attempts: tuple[Attempt, ...] = ()
    first_plan: RunPlanned | None = None
    """What was known before the speed was measured."""
    plan: RunPlanned | None = None
    """The last plan that was made."""
    opened_wall: float | None = None
    gpu_name: str = ""
    spans: tuple[Span, ...] = ()
    moments: tuple[Moment, ...] = ()
    saves: tuple[tuple[float, int], ...] = ()
    """(wall, step) of every checkpoint written, pruned ones too."""
    spent: Spent = field(default_factory=Spent)
    curves: Curves = field(default_factory=Curves)
    tallies: Tallies = field(default_factory=Tallies)
    beside: Beside = field(default_factory=Beside)
    torn_bytes: int = 0
    """Bytes at the journal's end that are no valid record."""

    @property
    def wall_s(self) -> float:
        """From the first record to the last one, seconds."""
        return max(0.0, self.view.wall - self.opened_wall) if self.opened_wall is not None else 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.liveness in {Liveness.STOPPED, Liveness.STOPPING, Liveness.LOST}

    @property
    def wanted_steps(self) -> int:
        """The steps that the configured epochs take; a plan may have cut them to fit the window. 0 is unknown."""
        if self.plan is None:
            return 0
        section = self.view.config.get("training")
        epochs = section.get("num_train_epochs") if isinstance(section, dict) else None
        wanted = epochs * self.plan.steps_per_epoch if isinstance(epochs, int) else 0
        return max(wanted, self.plan.planned_steps)

    @property
    def base(self) -> Evaluation | None:
        """The untouched model on the whole validation set."""
        return next((each for each in self._whole if each.step == 0), None)

    @property
    def tuned(self) -> Evaluation | None:
        """The best model on the whole validation set, else the best evaluation in training."""
        whole = [each for each in self._whole if each.step > 0]
        if whole:
            return whole[-1]
        return self.view.best if self.view.best is not None and self.view.best.step > 0 else None

    @property
    def _whole(self) -> list[Evaluation]:
        return [each for each in self.view.evaluations if each.scope == "full" and each.loss is not None]

    @property
    def best(self) -> Evaluation | None:
        """The best of the evaluations that early stopping compares."""
        return min(self.in_training, key=lambda each: (each.loss or 0.0, each.step), default=None)

    @property
    def in_training(self) -> list[Evaluation]:
        """The evaluations that early stopping compares."""
        return [each for each in self.view.evaluations if each.scope == "subset" and each.loss is not None]
