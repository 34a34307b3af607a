"""What steps, attempts, evaluations and checkpoints leave in the view, and what a restore takes back."""

from __future__ import annotations

import statistics

import pytest

from states.events import (
    CheckpointFailed,
    CheckpointPruned,
    CheckpointSkipped,
    CheckpointStarted,
    ClientAttached,
    EvalStarted,
    ExpertsSampled,
    GpuDevice,
    GpuSampled,
    HostSampled,
    RunConfigured,
    RunPaused,
    RunRestored,
    RunStopped,
    SinkDisabled,
    StepRejected,
    TaskCompleted,
    TaskProgressed,
    TaskStarted,
)
from states.phases import Cause, Outcome, Phase, Reason
from states.reducer import fold, reduce
from tests.states.told import evaluated, journal, opened, phase, planned, received, saved, step, steps, view_of


def test_progress_adds_up_and_speaks_in_medians_of_the_last_steps():
    view = view_of(*(step(n, tokens=100 * n, step_s=float(n)) for n in range(1, 41)))
    progress = view.progress
    assert (progress.step, progress.epoch) == (40, 4.0)
    assert progress.tokens == 100 * sum(range(1, 41))
    assert progress.trained_s == sum(range(1, 41))
    assert progress.step_s == statistics.median(range(9, 41))
    assert progress.tokens_per_s == 100.0
    assert [bucket.mean for bucket in view.lr.buckets] == [1e-4] * 40
    assert view.loss.last.last_wall == 1039.0


def test_the_smooth_loss_is_a_bias_corrected_mean():
    assert view_of(step(1, 4.0)).progress.smooth_loss == pytest.approx(4.0)
    losses = [4.0, 3.0, None, 2.5]
    view = view_of(*(step(n, loss) for n, loss in enumerate(losses, 1)))
    weights = [0.9**2, 0.9, 1.0]
    expected = sum(w * x for w, x in zip(weights, [4.0, 3.0, 2.5], strict=True)) / sum(weights)
    assert view.progress.smooth_loss == pytest.approx(expected)
    assert [bucket.first for bucket in view.loss.buckets] == [1, 2, 4]
    assert [bucket.first for bucket in view.smooth.buckets] == [1, 2, 4]


def test_rejected_steps_are_counted():
    view = view_of(step(1), StepRejected(step=2, why="loss is NaN", streak=1), StepRejected(step=3, why="x", streak=2))
    assert view.progress.rejected_steps == 2


def test_a_second_attempt_forgets_the_process_and_keeps_the_run():
    first = [
        opened(),
        RunConfigured(config={"a": 1}, config_hash="c0ffee", opened_wall=1.0, deadline_wall=9.0, reserve_s=2.0),
        planned(),
        phase(Phase.SETUP, Phase.INIT),
        phase(Phase.INIT, Phase.WARMUP),
        *steps(1, 20),
        evaluated(20, 1.0, best=True),
        saved(20),
        received("c1"),
        ClientAttached(pid=3, uid=0),
        SinkDisabled(sink="wandb", error="x"),
        RunPaused(step=20),
        TaskStarted(task="x"),
        CheckpointStarted(step=20, path="checkpoint-20", cause=Cause.OPERATOR),
        GpuSampled(devices=(GpuDevice(index=0, uuid="u", name="n", memory_used=1, memory_total=2, utilisation=50.0),)),
    ]
    before, view = view_of(*first), view_of(*first, opened(2))
    assert view.identity.attempt == 2
    assert view.phase is Phase.SETUP
    assert view.phase_walls == {"setup": view.wall}
    assert not view.paused
    assert not view.saving
    assert (view.reason, view.task, view.failure, view.ending, view.paused_since) == (None,) * 5
    assert (view.gpus, view.viewers, view.disabled_sinks, view.progress.recent) == ((),) * 4
    assert view.controls[0].state == "expired"
    for name in ("config", "window", "plan", "evaluations", "best", "checkpoints", "loss", "lr", "gpu_utilisation"):
        assert getattr(view, name) == getattr(before, name)
    assert view.progress.step == 20


def test_a_stopped_run_that_is_resumed_is_no_longer_stopped():
    ending = RunStopped(
        outcome=Outcome.INTERRUPTED,
        reason=Reason.SIGNAL,
        step=5,
        tokens=1,
        trained_s=1,
        paused_s=0,
        wall_s=9,
        exit_code=75,
    )
    stopped = view_of(opened(), phase(Phase.FINALIZE, Phase.STOPPED, reason=Reason.SIGNAL), ending)
    assert (stopped.ending.outcome, stopped.reason, stopped.phase) == (
        Outcome.INTERRUPTED,
        Reason.SIGNAL,
        Phase.STOPPED,
    )
    resumed = reduce(stopped, journal(opened(2), start=9)[0])
    assert (resumed.ending, resumed.reason, resumed.phase) == (None, None, Phase.SETUP)


def test_a_restore_takes_back_everything_later():
    routing = [
        ExpertsSampled(
            step=at,
            source=source,
            window_steps=10,
            counts=((1, 3),),
            token_entropy=(0.5,),
            balance_loss=1.0,
            domains={},
        )
        for at, source in [(20, "train"), (20, "eval"), (40, "train"), (40, "eval")]
    ]
    view = view_of(
        opened(),
        planned(),
        *steps(1, 20),
        evaluated(10, 2.0, best=True),
        evaluated(20, 2.5),
        saved(20, best=True),
        *steps(21, 40),
        evaluated(30, 1.0, best=True),
        evaluated(40, 1.5),
        saved(40),
        *routing,
        HostSampled(cpu_percent=1, process_percent=1, rss=1, memory_used=1, memory_total=1, disk_free=1),
        opened(2),
        RunRestored(checkpoint="checkpoint-20", step=20, tokens=1234, trained_s=5.5),
    )
    assert (view.progress.step, view.progress.tokens, view.progress.trained_s) == (20, 1234, 5.5)
    assert view.progress.epoch == 2.0
    assert (view.progress.loss, view.progress.lr, view.progress.grad_norm) == (1.0, 1e-4, 0.5)
    assert view.progress.smooth_loss == pytest.approx(1.0)
    for series in (view.loss, view.smooth, view.lr, view.grad_norm, view.tokens_per_s):
        assert [bucket.first for bucket in series.buckets] == list(range(1, 21))
    assert [item.step for item in view.evaluations] == [10, 20]
    assert view.best.step == 10
    assert view.evals_since_best == 1
    assert [item.path for item in view.checkpoints] == ["checkpoint-20"]
    assert (view.experts, view.eval_experts) == (None, None)
    assert [bucket.first for bucket in view.routing_entropy.buckets] == [20]
    assert not view.host_cpu


def test_steps_done_again_after_a_restore_are_counted_once():
    once = view_of(opened(), *steps(1, 40))
    again = view_of(
        opened(),
        *steps(1, 35),
        opened(2),
        RunRestored(checkpoint="c", step=20, tokens=2000, trained_s=10.0),
        *steps(21, 40),
    )
    assert again.progress.tokens == once.progress.tokens
    assert again.progress.trained_s == once.progress.trained_s
    assert again.progress.smooth_loss == pytest.approx(once.progress.smooth_loss)
    assert [(b.first, b.mean) for b in again.loss.buckets] == [(b.first, b.mean) for b in once.loss.buckets]


def test_an_attempt_without_a_checkpoint_begins_again_at_zero():
    before = [opened(), planned(), *steps(1, 8), opened(2), phase(Phase.SETUP, Phase.INIT)]
    view = view_of(*before, phase(Phase.INIT, Phase.WARMUP, step=0))
    assert (view.progress.step, view.progress.tokens, view.progress.trained_s) == (0, 0, 0.0)
    assert not view.loss
    assert view_of(*before, *steps(1, 3)).progress.tokens == 300


def test_the_best_evaluation_and_how_many_came_since():
    view = view_of(
        evaluated(10, 2.0, best=True), evaluated(20, 1.5, best=True), evaluated(30, 1.6), evaluated(40, None)
    )
    assert view.best.step == 20
    assert view.evals_since_best == 2
    assert fold(journal(evaluated(40, 1.2, scope="full")), view).evals_since_best == 2


def test_repeating_an_evaluation_replaces_it_and_keeps_its_rank():
    view = view_of(evaluated(10, 2.0, best=True), evaluated(10, 2.0))
    assert [(item.step, item.best) for item in view.evaluations] == [(10, True)]
    assert view.best.step == 10
    assert view.evals_since_best == 0


def test_an_evaluation_is_a_task_while_it_runs():
    started = EvalStarted(step=1, scope="full", conversations=80)
    view = view_of(started, TaskProgressed(task="evaluate", done=30))
    assert (view.task.name, view.task.done, view.task.total) == ("evaluate", 30, 80)
    assert view_of(started, evaluated(1, 1.0)).task is None


def test_only_the_running_task_makes_progress_and_ends():
    view = view_of(
        TaskStarted(task="load", total=9), TaskProgressed(task="other", done=5), TaskCompleted(task="other", task_s=1)
    )
    assert (view.task.name, view.task.done, view.task.started_wall) == ("load", 0, 1000.0)
    assert fold(journal(TaskCompleted(task="load", task_s=1)), view).task is None


def test_a_final_evaluation_that_was_cut_short_leaves_the_best_as_it_is():
    """Hurrying Finalize interrupts the judgement of the best model, which then has no loss."""
    view = view_of(evaluated(10, 2.0, best=True), evaluated(10, None, best=True, scope="full"))
    assert (view.best.step, view.best.scope, view.best.loss) == (10, "subset", 2.0)
    judged = fold(journal(evaluated(10, 1.9, best=True, scope="full")), view)
    assert judged.best.loss == 1.9
    assert fold(journal(evaluated(10, None, best=True, scope="full")), judged).best.loss == 1.9


def test_checkpoints_on_disk_are_listed_and_only_one_is_best():
    view = view_of(saved(10, best=True), saved(20, best=True), saved(30), saved(20, best=True))
    assert [(item.step, item.best) for item in view.checkpoints] == [(10, False), (30, False), (20, True)]
    view = fold(journal(CheckpointPruned(path="checkpoint-10"), CheckpointSkipped(path="checkpoint-30", why="x")), view)
    assert [item.step for item in view.checkpoints] == [20]


def test_saving_lasts_from_start_to_end_or_failure():
    start = CheckpointStarted(step=1, path="checkpoint-1", cause=Cause.SCHEDULE)
    assert view_of(start).saving
    assert not view_of(start, saved(1)).saving
    assert not view_of(start, CheckpointFailed(step=1, path="checkpoint-1", error="disk full")).saving
