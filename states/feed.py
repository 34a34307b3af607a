"""The human lines of the event feed: short, factual, one line each, plain text without any markup of our own.

Records that arrive by the second (steps, samples, progress) leave no line; curves and gauges show those.
"""

from __future__ import annotations

from dataclasses import dataclass

from states import events as e
from states.phases import Outcome, Phase, Reason
from states.text import one_line
from states.view import RunView
from states.wording import alarm_words, duration, loss_words, number, size

WHY = {
    Reason.TARGET: "all planned steps are done",
    Reason.DEADLINE: "the window ends",
    Reason.EARLY_STOP: "the validation loss stopped improving",
    Reason.OPERATOR: "asked by the operator",
    Reason.SIGNAL: "asked by a signal",
    Reason.ERROR: "an error",
}
"""Each reason in words that can follow a colon."""
BRIEF_S = 1.0
"""A task over sooner is not worth a line: whoever watched has seen it start."""
LEVELS = ("good", "warn", "bad")
"""Tones an alarm may have."""
_SILENT = frozenset({e.StepCompleted, e.GpuSampled, e.HostSampled, e.TaskProgressed, e.ExpertsSampled})
_TONES = {"warning": "warn", "error": "bad", "critical": "bad"}


@dataclass(frozen=True, slots=True)
class Said:
    """One line. `tone` is `info`, `good`, `warn` or `bad`."""

    topic: str
    text: str
    tone: str = "info"


def line(view: RunView, event: e.Event | e.Unknown) -> Said | None:
    """What the feed says about `event`, given the view before it; `None` where it is silent."""
    if type(event) in _SILENT:
        return None
    said = _story(view, event) or _trouble(event)
    return said and Said(said.topic, one_line(said.text), said.tone)


def _story(view: RunView, event: e.Event | e.Unknown) -> Said | None:
    """The course of a run as it should go."""
    match event:
        case e.LogOpened():
            again = f"attempt {event.attempt}" if event.attempt > 1 else "run"
            return Said("run", f"{again} {event.run_id} on {event.host}, pid {event.pid}")
        case e.RunConfigured(opened_wall=opened, deadline_wall=deadline):
            window = "no time limit" if deadline is None else f"a window of {duration(deadline - opened)}"
            return Said("run", f"{window}, configuration {event.config_hash[:8]}")
        case e.TaskCompleted(task_s=seconds) if seconds < BRIEF_S:
            return None
        case e.TaskCompleted():
            detail = f": {event.detail}" if event.detail else ""
            return Said("task", f"{event.task}, {duration(event.task_s)}{detail}")
        case e.DataPrepared():
            text = f"{event.train_conversations:,} conversations to train on, {event.eval_conversations:,} to validate"
            return Said("data", f"{text}, {event.train_tokens:,} tokens an epoch")
        case e.ModelLoaded():
            share = event.trainable_params / event.params if event.params else 0.0
            trained = f"{event.trainable_params:,} trained ({share:.3%})"
            text = f"{event.architecture}, {event.params:,} parameters, {trained}"
            return Said("model", f"{text}, {event.dtype} on {event.device}")
        case e.RunPlanned():
            seconds = sum(event.estimated_s.values())
            text = f"{event.planned_steps:,} steps, {event.warmup_steps:,} of warm-up, {duration(seconds)} in all"
            return Said("plan", f"{text} ({event.source} throughput)")
        case e.RunRestored():
            return Said("resume", f"from {event.checkpoint} at step {event.step:,}", "good")
        case e.PhaseChanged():
            return _phase(event)
        case e.RunPaused():
            return Said("pause", f"paused at step {event.step:,}; the window goes on", "warn")
        case e.RunUnpaused():
            return Said("pause", f"going on after {duration(event.paused_s)}")
        case e.EvalCompleted():
            return _evaluation(event)
        case e.ExpertsExamined():
            return _examined(event)
        case e.CheckpointCompleted():
            best = ", best so far" if event.best else ""
            text = f"{event.path}, {size(event.bytes)} in {duration(event.save_s)} ({event.cause}){best}"
            return Said("checkpoint", text, "good")
        case e.DeadlineReplanned():
            before = f" instead of {view.plan.planned_steps:,}" if view.plan else ""
            return Said("plan", f"{event.planned_steps:,} steps{before} at {event.step_s:.3g} s each: {event.why}")
        case e.CommandReceived():
            by = "" if event.by is None else f", pid {event.by}"
            return Said("command", f"{event.command} asked by {event.via}{by}")
        case e.CommandApplied():
            return Said("command", f"{event.command} done: {event.detail}") if event.detail else None
        case e.RunStopped():
            return _stopped(event)
    return None


def _trouble(event: e.Event | e.Unknown) -> Said | None:
    """What an operator should know without having asked."""
    match event:
        case e.StepRejected():
            return Said("step", f"step {event.step:,} not taken: {event.why} ({event.streak} in a row)", "warn")
        case e.CheckpointFailed():
            return Said("checkpoint", f"{event.path} failed, training goes on: {event.error}", "bad")
        case e.CheckpointSkipped():
            return Said("checkpoint", f"{event.path} passed over: {event.why}", "warn")
        case e.ExpertsAlarmed():
            remedy = f": {event.remedy}" if event.remedy else ""
            return Said("experts", f"{alarm_words(event)}{remedy}", event.level if event.level in LEVELS else "warn")
        case e.DeadlineApproached():
            return Said("deadline", f"{duration(event.remaining_s)} left, {duration(event.reserve_s)} reserved", "warn")
        case e.DeadlineReached():
            return Said("deadline", f"training ends, {duration(event.remaining_s)} left to finalize", "warn")
        case e.EarlyStopTriggered():
            best = "" if event.best_step is None else f" on {number(event.best_loss)} at step {event.best_step:,}"
            return Said("stop", f"{event.patience} evaluations without improvement{best}", "warn")
        case e.MemoryReduced():
            return Said("memory", f"out of memory: bins of {event.new_bin_tokens:,} tokens", "warn")
        case e.CommandRejected():
            return Said("command", f"{event.command} refused: {event.reason}", "warn")
        case e.SinkDisabled():
            return Said("sink", f"{event.sink} switched off, training goes on: {event.error}", "warn")
        case e.MessageLogged():
            return Said("message", f"{event.logger}: {event.text}", _TONES.get(event.level.lower(), "info"))
        case e.RunFailed():
            return Said("failure", f"{event.error_type} in {event.phase}: {event.message}", "bad")
    return None


def _phase(event: e.PhaseChanged) -> Said:
    ending = event.new in (Phase.FINALIZE, Phase.STOPPED) and event.reason is not None
    why = f": {WHY[event.reason]}" if ending and event.reason else ""
    return Said("phase", f"{event.old} -> {event.new}{why}", "bad" if event.reason is Reason.ERROR else "info")


def _evaluation(event: e.EvalCompleted) -> Said:
    if event.loss is None:
        return Said("eval", f"{event.scope} evaluation at step {event.step:,} gave no loss", "warn")
    best = ", best so far" if event.best else ""
    tone = "good" if event.best else "info"
    return Said("eval", f"step {event.step:,}, {event.scope}: {loss_words(event.loss)}{best}", tone)


def _examined(event: e.ExpertsExamined) -> Said:
    text = f"routed {number(event.routed)}, average {number(event.average)}"
    if event.routed is not None and event.average is not None:
        text += f": routing saves {number(event.average - event.routed, '+.4f')} nats a token"
    return Said("experts", f"{text}, over {event.conversations:,} of {event.of_conversations:,} conversations")


def _stopped(event: e.RunStopped) -> Said:
    text = f"{event.outcome} at step {event.step:,} after {duration(event.wall_s)}: {WHY[event.reason]}"
    tone = {Outcome.FINISHED: "good", Outcome.FAILED: "bad"}.get(event.outcome, "warn")
    return Said("stop", text, tone)
