"""One pass over a journal that keeps what the reducer does not: attempts, where time went, incidents, more curves.

Everything here is bounded, whatever the length of the journal, and steps that a resume rolled back leave the curves.
It is shown every record of runs that may have hundreds of thousands, so it counts in plain variables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields, replace

from engine.report.facts import Attempt, Curves, Moment, Span, Spent, Tallies
from engine.report.incidents import moment
from states import events as e
from states.phases import Outcome, Phase
from states.series import Series, append, rollback
from states.view import RunView

MOMENTS = 2000
"""Incidents kept; more are counted."""
SPANS = 2000
SAVES = 5000
ATTEMPTS = 500
SINKS = 20


class Tally:
    """Shown every record with the view before and after it; `close` it before reading."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.first_plan: e.RunPlanned | None = None
        self.plan: e.RunPlanned | None = None
        self.opened_wall: float | None = None
        self.gpu_name = ""
        self.spans: list[Span] = []
        self.moments: list[Moment] = []
        self.saves: list[tuple[float, int]] = []
        self._series: dict[str, Series] = {field.name: Series() for field in fields(Curves)}
        self._step_s = Series()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()
        self._alarms: Counter[str] = Counter()
        self._sinks: list[str] = []
        self._smallest_bin: int | None = None
        self._phase = Phase.SETUP
        self._phase_since: float | None = None
        self._paused_since: float | None = None
        self._last_wall: float | None = None
        self._last_step = 0
        self._first_step = 0
        self._outcome: Outcome | None = None

    @property
    def spent(self) -> Spent:
        """Seconds by what they went into."""
        return Spent(**{field.name: max(0.0, self._seconds[field.name]) for field in fields(Spent)})

    @property
    def curves(self) -> Curves:
        """Histories that a view does not keep."""
        return Curves(**self._series)

    @property
    def tallies(self) -> Tallies:
        """How often what happened."""
        return Tallies(
            smallest_bin=self._smallest_bin, alarms=dict(self._alarms), sinks=tuple(self._sinks), **self._counts
        )

    def see(self, before: RunView, after: RunView, record: e.Record) -> None:
        """Take in one record."""
        event, wall = record.event, record.wall
        if self.opened_wall is None:
            self.opened_wall = wall
        match event:
            case e.StepCompleted():
                self._stepped(before, event, wall)
            case e.HostSampled():
                self._add("rss", before.progress.step, wall, float(event.rss))
            case e.GpuSampled():
                self._card(before, event, wall)
            case e.TaskProgressed():
                pass
            case e.LogOpened():
                self._opened(before, event, wall)
            case _:
                if after.progress.step < before.progress.step:
                    self._roll_back(after.progress.step)
                self._other(after, event, wall)
                self._remember(before, record)
        self._last_wall, self._last_step = wall, after.progress.step

    def close(self) -> None:
        """Nothing more will come: what is open ends with the last record."""
        if self._last_wall is not None:
            self._end_phase(self._phase, self._last_wall)
            self._end_pause(self._last_wall)
            self._end_attempt()

    def _opened(self, before: RunView, event: e.LogOpened, wall: float) -> None:
        if self._last_wall is not None:
            # Whoever was killed in a phase was in it until its last record.
            self._end_phase(self._phase, self._last_wall)
            self._end_pause(self._last_wall)
            self._end_attempt()
            self._seconds["down"] += max(0.0, wall - self._last_wall)
        self._phase_since, self._phase = wall, Phase.SETUP
        self._first_step, self._outcome = 0, None
        attempt = Attempt(
            number=event.attempt,
            opened_wall=wall,
            last_wall=wall,
            first_step=0,
            last_step=before.progress.step,
            host=event.host,
            version=event.version,
            versions=event.versions,
        )
        self.attempts = [*self.attempts[-(ATTEMPTS - 1) :], attempt]

    def _end_attempt(self) -> None:
        if self.attempts and self._last_wall is not None:
            self.attempts[-1] = replace(
                self.attempts[-1],
                last_wall=self._last_wall,
                first_step=self._first_step,
                last_step=self._last_step,
                outcome=self._outcome,
            )

    def _stepped(self, before: RunView, event: e.StepCompleted, wall: float) -> None:
        if event.step <= before.progress.step:
            self._roll_back(event.step - 1)
        self._seconds["training"] += event.step_s
        self._seconds["data"] += event.data_s
        self._step_s = append(self._step_s, event.step, wall, event.step_s)
        limit = _clip(before)
        if limit is not None and event.grad_norm is not None:
            self._add("clipped", event.step, wall, float(event.grad_norm > limit))

    def _roll_back(self, step: int) -> None:
        kept = rollback(self._step_s, step)
        self._seconds["redone"] += max(0.0, _total(self._step_s) - _total(kept))
        self._step_s = kept
        self._series = {name: rollback(series, step) for name, series in self._series.items()}

    def _card(self, before: RunView, event: e.GpuSampled, wall: float) -> None:
        if not event.devices:
            return
        if not self.gpu_name or len(event.devices) != len(before.gpus):
            names = Counter(device.name for device in event.devices)
            self.gpu_name = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in sorted(names.items()))
        used = float(sum(device.memory_used for device in event.devices))
        self._add("gpu_memory", before.progress.step, wall, used)

    def _other(self, after: RunView, event: e.Event | e.Unknown, wall: float) -> None:
        match event:
            case e.ExpertsSampled() if event.source == "train":
                self._routed(after, event, wall)
            case e.PhaseChanged():
                self._end_phase(event.old, wall)
                self._phase_since, self._phase = wall, event.new
                if event.new not in (Phase.WARMUP, Phase.MAIN):
                    self._end_pause(wall)
            case e.RunRestored():
                self._first_step = event.step
            case e.RunPaused():
                self._paused_since = self._paused_since or wall
            case e.RunUnpaused():
                self._end_pause(wall)
            case e.RunPlanned():
                self.first_plan = self.first_plan or event
                self.plan = event
            case e.EvalCompleted() if self._phase is not Phase.FINALIZE:
                self._seconds["evaluation"] += event.eval_s
                if self._phase in (Phase.SETUP, Phase.INIT):
                    self._seconds["setup"] -= event.eval_s
            case e.CheckpointCompleted():
                self.saves = [*self.saves[-(SAVES - 1) :], (wall, event.step)]
                self._counts["checkpoints"] += 1
                if self._phase is not Phase.FINALIZE:
                    self._seconds["checkpoints"] += event.save_s
            case e.RunStopped():
                self._outcome = event.outcome
            case _:
                self._count(event)

    def _count(self, event: e.Event | e.Unknown) -> None:
        match event:
            case e.StepRejected():
                self._counts["rejected"] += 1
            case e.MemoryReduced():
                self._counts["memory_reduced"] += 1
                self._smallest_bin = min(event.new_bin_tokens, self._smallest_bin or event.new_bin_tokens)
            case e.CheckpointFailed():
                self._counts["checkpoint_failures"] += 1
            case e.CheckpointSkipped():
                self._counts["checkpoint_skips"] += 1
            case e.DeadlineReplanned():
                self._counts["replans"] += 1
            case e.ExpertsAlarmed() if event.raised:
                self._alarms[event.rule] += 1
            case e.SinkDisabled() if event.sink not in self._sinks:
                self._sinks = [*self._sinks, event.sink][:SINKS]

    def _routed(self, after: RunView, event: e.ExpertsSampled, wall: float) -> None:
        sample = after.experts
        if sample is None:
            return
        self._add("least_share", event.step, wall, sample.weakest.share)
        self._add("largest_share", event.step, wall, sample.dominant.share)
        if event.balance_loss is not None:
            self._add("balance_loss", event.step, wall, event.balance_loss)

    def _add(self, name: str, step: int, wall: float, value: float) -> None:
        self._series[name] = append(self._series[name], step, wall, value)

    def _remember(self, before: RunView, record: e.Record) -> None:
        told = moment(before, record)
        if told is None:
            return
        last = self.moments[-1] if self.moments else None
        if last is not None and (last.kind, last.text) == (told.kind, told.text):
            self.moments[-1] = replace(last, repeated=last.repeated + 1)
        elif len(self.moments) < MOMENTS:
            self.moments.append(told)
        else:
            self._counts["moments_left_out"] += 1

    def _end_phase(self, phase: Phase, wall: float) -> None:
        since, self._phase_since = self._phase_since, None
        if since is None or phase is Phase.STOPPED:
            return
        seconds = max(0.0, wall - since)
        if len(self.spans) < SPANS:
            self.spans.append(Span(name=phase.value, start=since, end=wall))
        if phase in (Phase.SETUP, Phase.INIT):
            self._seconds["setup"] += seconds
        elif phase is Phase.FINALIZE:
            self._seconds["finalize"] += seconds

    def _end_pause(self, wall: float) -> None:
        since, self._paused_since = self._paused_since, None
        if since is None:
            return
        self._seconds["paused"] += max(0.0, wall - since)
        if len(self.spans) < SPANS:
            self.spans.append(Span(name="pause", start=since, end=wall))


def _clip(view: RunView) -> float | None:
    safety = view.config.get("safety")
    limit = safety.get("max_grad_norm") if isinstance(safety, dict) else None
    return float(limit) if isinstance(limit, int | float) and limit > 0 else None


def _total(series: Series) -> float:
    return sum(bucket.total for bucket in series.buckets)
