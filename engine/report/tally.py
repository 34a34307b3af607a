"""One pass over a journal that keeps what the reducer does not: attempts, where time went, incidents, more curves.

Everything here is bounded, whatever the length of the journal, and steps that a resume rolled back leave the curves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from engine.report.facts import Attempt, Curves, Moment, Span, Spent, Tallies
from engine.report.incidents import moment
from states import events as e
from states.phases import Phase
from states.routing import experts
from states.series import Series, append, rollback
from states.view import RunView

MOMENTS = 2000
"""Incidents kept; more are counted."""
SPANS = 2000
SAVES = 5000
ATTEMPTS = 500


class Tally:
    """Shown every record with the view before and after it."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.first_plan: e.RunPlanned | None = None
        self.plan: e.RunPlanned | None = None
        self.opened_wall: float | None = None
        self.gpu_name = ""
        self.spans: list[Span] = []
        self.moments: list[Moment] = []
        self.saves: list[tuple[float, int]] = []
        self.spent = Spent()
        self.curves = Curves()
        self.tallies = Tallies()
        self._alarms: Counter[str] = Counter()
        self._phase_since: float | None = None
        self._paused_since: float | None = None
        self._last_wall: float | None = None
        self._step_s: Series = Series()

    def see(self, before: RunView, after: RunView, record: e.Record) -> None:
        """Take in one record."""
        event, wall = record.event, record.wall
        if self.opened_wall is None:
            self.opened_wall = wall
        if isinstance(event, e.StepCompleted):
            self._stepped(before, event, wall)
        elif isinstance(event, e.LogOpened):
            self._opened(before, event, wall)
        else:
            if after.progress.step < before.progress.step:
                self._roll_back(after.progress.step)
            self._other(before, event, wall)
            self._remember(before, record)
        self._last_wall = wall
        if self.attempts:
            self.attempts[-1] = replace(
                self.attempts[-1],
                last_wall=wall,
                last_step=after.progress.step,
                first_step=event.step if isinstance(event, e.RunRestored) else self.attempts[-1].first_step,
                outcome=event.outcome if isinstance(event, e.RunStopped) else self.attempts[-1].outcome,
            )

    def close(self) -> None:
        """Nothing more will come: what is open ends with the last record."""
        if self._last_wall is not None:
            self._end_phase(self._last_phase, self._last_wall)
            self._end_pause(self._last_wall)

    _last_phase: Phase = Phase.SETUP

    def _opened(self, before: RunView, event: e.LogOpened, wall: float) -> None:
        if self._last_wall is not None:
            # The last attempt was killed in whatever phase it was in.
            self._end_phase(self._last_phase, self._last_wall)
            self._end_pause(self._last_wall)
            self.spent = replace(self.spent, down=self.spent.down + max(0.0, wall - self._last_wall))
        self._phase_since, self._last_phase = wall, Phase.SETUP
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

    def _stepped(self, before: RunView, event: e.StepCompleted, wall: float) -> None:
        if event.step <= before.progress.step:
            self._roll_back(event.step - 1)
        spent = self.spent
        self.spent = replace(spent, training=spent.training + event.step_s, data=spent.data + event.data_s)
        self._step_s = append(self._step_s, event.step, wall, event.step_s)
        limit = _clip(before)
        if limit is not None and event.grad_norm is not None:
            clipped = append(self.curves.clipped, event.step, wall, float(event.grad_norm > limit))
            self.curves = replace(self.curves, clipped=clipped)

    def _roll_back(self, step: int) -> None:
        kept = rollback(self._step_s, step)
        lost = _total(self._step_s) - _total(kept)
        self._step_s = kept
        self.spent = replace(self.spent, redone=self.spent.redone + max(0.0, lost))
        curves = self.curves
        self.curves = Curves(
            least_share=rollback(curves.least_share, step),
            largest_share=rollback(curves.largest_share, step),
            clipped=rollback(curves.clipped, step),
            gpu_memory=rollback(curves.gpu_memory, step),
            rss=rollback(curves.rss, step),
            balance_loss=rollback(curves.balance_loss, step),
        )

    def _other(self, before: RunView, event: e.Event | e.Unknown, wall: float) -> None:
        spent, tallies, step = self.spent, self.tallies, before.progress.step
        match event:
            case e.HostSampled():
                self.curves = replace(self.curves, rss=append(self.curves.rss, step, wall, float(event.rss)))
            case e.GpuSampled() if event.devices:
                used = float(sum(device.memory_used for device in event.devices))
                names = Counter(device.name for device in event.devices)
                self.gpu_name = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in sorted(names.items()))
                self.curves = replace(self.curves, gpu_memory=append(self.curves.gpu_memory, step, wall, used))
            case e.ExpertsSampled() if event.source == "train":
                self._routed(event, wall)
            case e.PhaseChanged():
                self._end_phase(event.old, wall)
                self._phase_since, self._last_phase = wall, event.new
                if event.new not in (Phase.WARMUP, Phase.MAIN):
                    self._end_pause(wall)
            case e.RunPaused():
                self._paused_since = self._paused_since or wall
            case e.RunUnpaused():
                self._end_pause(wall)
            case e.RunPlanned():
                self.first_plan = self.first_plan or event
                self.plan = event
            case e.EvalCompleted() if self._last_phase is not Phase.FINALIZE:
                in_setup = event.eval_s if self._last_phase in (Phase.SETUP, Phase.INIT) else 0.0
                self.spent = replace(spent, evaluation=spent.evaluation + event.eval_s, setup=spent.setup - in_setup)
            case e.CheckpointCompleted():
                self.saves = [*self.saves[-(SAVES - 1) :], (wall, event.step)]
                self.tallies = replace(tallies, checkpoints=tallies.checkpoints + 1)
                if self._last_phase is not Phase.FINALIZE:
                    self.spent = replace(spent, checkpoints=spent.checkpoints + event.save_s)
            case _:
                self._count(event)

    def _count(self, event: e.Event | e.Unknown) -> None:
        tallies = self.tallies
        match event:
            case e.StepRejected():
                self.tallies = replace(tallies, rejected=tallies.rejected + 1)
            case e.MemoryReduced():
                least = min(event.new_bin_tokens, tallies.smallest_bin or event.new_bin_tokens)
                self.tallies = replace(tallies, memory_reduced=tallies.memory_reduced + 1, smallest_bin=least)
            case e.CheckpointFailed():
                self.tallies = replace(tallies, checkpoint_failures=tallies.checkpoint_failures + 1)
            case e.CheckpointSkipped():
                self.tallies = replace(tallies, checkpoint_skips=tallies.checkpoint_skips + 1)
            case e.DeadlineReplanned():
                self.tallies = replace(tallies, replans=tallies.replans + 1)
            case e.ExpertsAlarmed() if event.raised:
                self._alarms[event.rule] += 1
                self.tallies = replace(tallies, alarms=dict(self._alarms))
            case e.SinkDisabled() if event.sink not in tallies.sinks:
                self.tallies = replace(tallies, sinks=(*tallies.sinks, event.sink)[-20:])

    def _routed(self, event: e.ExpertsSampled, wall: float) -> None:
        sample = experts(event, wall)
        if sample is None or sample.dominant is None or sample.weakest is None:
            return
        curves = self.curves
        self.curves = replace(
            curves,
            least_share=append(curves.least_share, event.step, wall, sample.weakest.share),
            largest_share=append(curves.largest_share, event.step, wall, sample.dominant.share),
        )
        if event.balance_loss is not None:
            balance = append(curves.balance_loss, event.step, wall, event.balance_loss)
            self.curves = replace(self.curves, balance_loss=balance)

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
            self.tallies = replace(self.tallies, moments_left_out=self.tallies.moments_left_out + 1)

    def _end_phase(self, phase: Phase, wall: float) -> None:
        since, self._phase_since = self._phase_since, None
        if since is None or phase is Phase.STOPPED:
            return
        seconds = max(0.0, wall - since)
        if len(self.spans) < SPANS:
            self.spans.append(Span(name=phase.value, start=since, end=wall))
        if phase in (Phase.SETUP, Phase.INIT):
            self.spent = replace(self.spent, setup=self.spent.setup + seconds)
        elif phase is Phase.FINALIZE:
            self.spent = replace(self.spent, finalize=self.spent.finalize + seconds)

    def _end_pause(self, wall: float) -> None:
        since, self._paused_since = self._paused_since, None
        if since is None:
            return
        self.spent = replace(self.spent, paused=self.spent.paused + max(0.0, wall - since))
        if len(self.spans) < SPANS:
            self.spans.append(Span(name="pause", start=since, end=wall))


def _clip(view: RunView) -> float | None:
    safety = view.config.get("safety")
    limit = safety.get("max_grad_norm") if isinstance(safety, dict) else None
    return float(limit) if isinstance(limit, int | float) and limit > 0 else None


def _total(series: Series) -> float:
    return sum(bucket.total for bucket in series.buckets)
