"""Going on with a run: what it keeps, what may be changed between two starts, and what was cut short is made up."""

from __future__ import annotations

import shutil
from dataclasses import replace

import orjson
import pytest

from configs.errors import UsageError
from configs.schema import TrainingConfig
from engine.run.rundir import RunBusy, RunDir
from engine.training.launch import Launch
from engine.training.main import run_engine
from engine.training.placement import place
from states.events import (
    DeadlineReplanned,
    EarlyStopTriggered,
    EvalCompleted,
    ExpertsSampled,
    MessageLogged,
    RunConfigured,
    RunPlanned,
    RunStopped,
    StepCompleted,
)
from states.phases import ExitCode, Reason

pytestmark = pytest.mark.usefixtures("unsynced")

EVALUATION = "engine.training.evaluating.evaluate"
STOPPED_AT = 5


@pytest.fixture(scope="module")
def stopped(shared_bench):
    """A run that a signal stopped; copied by whoever goes on with it."""
    shared_bench.go_until(STOPPED_AT, manual=True, overrides=("training.eval_steps=3",))
    return shared_bench


@pytest.fixture
def bench_there(bench, stopped):
    """Where that run stopped."""
    shutil.copytree(stopped.run, bench.run)
    bench.config = stopped.config
    return bench


def again(bench, launch: Launch | None = None, **choice) -> ExitCode:
    """Go on in the copy, with the words it was started with."""
    overrides = ("training.eval_steps=3", *choice.pop("overrides", ()))
    launch = launch or bench.choose(output_dir=bench.run, resume="auto", manual=True, overrides=overrides, **choice)
    return run_engine(launch, quiet=True)


def test_a_resumed_run_follows_its_plan_and_its_pace_whatever_the_clock_and_the_machine_say(bench_there):
    bench = bench_there
    (first, plan) = bench.events(RunPlanned)
    assert first.source != plan.source == "measured"
    report = (bench.run / "training_optimization_report.json").read_bytes()
    kept = orjson.loads((bench.run / f"checkpoint-{STOPPED_AT}" / "trainer_state.json").read_bytes())["stint"]["pace"]
    snail = {"tokens_per_s": 1.0}  # a device that became one
    bench.monkeypatch.setattr("engine.training.planning.recalled", lambda *_: snail)
    seen = []

    def see(session, trainer):
        from engine.training.obey import obey

        if not seen:
            seen.extend([bench.view.plan.planned_steps, bench.view.plan.eval_every, trainer.pace.to_json()])
        return obey(session, trainer)

    bench.monkeypatch.setattr("engine.training.loop.obey", see)
    launch = bench.choose(output_dir=bench.run, resume="auto", manual=True)
    passed = launch.window.length_s - 400.0
    window = replace(
        launch.window,
        opened_wall=launch.window.opened_wall - passed,
        deadline_wall=launch.window.deadline_wall - passed,
    )
    assert again(bench, replace(launch, window=window)) == ExitCode.FINISHED

    assert bench.events(RunPlanned)[2:] == [plan], "said again for whoever looks, and not made anew"
    assert seen == [plan.planned_steps, plan.eval_every, kept]
    assert (bench.run / "training_optimization_report.json").read_bytes() == report
    stop = bench.events(RunStopped)[-1]
    assert (stop.reason, stop.step) == (Reason.TARGET, plan.planned_steps)
    assert not bench.events(DeadlineReplanned)


def test_an_interrupted_evaluation_is_made_up_so_that_the_evaluations_are_those_of_a_run_left_alone(bench, tmp_path):
    choice = {"manual": True, "overrides": ("training.eval_steps=4", "training.num_train_epochs=1")}
    assert bench.go(output_dir=tmp_path / "whole", **choice) == ExitCode.FINISHED
    cut = bench.run
    bench.run = tmp_path / "whole"
    expected, best = told(bench), bench.view.best.step
    bench.run = cut
    bench.go_until(2, EVALUATION, **choice)
    stopped = bench.events(RunStopped)[-1]
    assert stopped.step == 4
    assert stopped.best_step is None, "a part of an evaluation counts for nothing"
    assert bench.go(resume="auto", **choice) == ExitCode.FINISHED
    assert told(bench) == expected
    assert bench.view.best.step == best
    steps = [event.step for event in bench.events(StepCompleted)]
    assert steps == sorted(set(steps))


def told(bench) -> list[tuple[int, str, str, bool]]:
    """Every evaluation that came to its end, exact."""
    events = [event for event in bench.events(EvalCompleted) if event.loss is not None]
    return [(event.step, event.scope, float(event.loss).hex(), event.best) for event in events]


def test_patience_may_be_changed_between_two_starts_and_what_was_seen_stays(bench):
    choice = {"manual": True, "overrides": ("training.eval_steps=1",)}
    bench.evaluations([9.0, 1.0, *[2.0] * 20])
    bench.go_until(2, **choice, resume=None)
    longer = (*choice["overrides"], "safety.early_stopping_patience=4")
    assert bench.go(resume="auto", manual=True, overrides=longer) == ExitCode.FINISHED
    (stopped,) = bench.events(EarlyStopTriggered)
    assert (stopped.step, stopped.patience, stopped.best_step) == (5, 4, 1)


def test_time_constraints_switched_off_on_a_resume_are_off(bench_there):
    bench = bench_there
    assert again(bench, overrides=("safety.enable_time_constraints=false",)) == ExitCode.FINISHED
    before, after = bench.events(RunConfigured)
    assert before.deadline_wall is not None
    assert after.deadline_wall is None
    assert bench.view.window.deadline_wall is None


def test_the_first_sample_after_a_resume_says_how_many_steps_it_is_of(bench_there):
    bench = bench_there
    overrides = ("training.logging_steps=4",)
    assert again(bench, overrides=overrides) == ExitCode.FINISHED
    samples = [event for event in bench.events(ExpertsSampled) if event.source == "train" and event.step > STOPPED_AT]
    assert [(event.step, event.window_steps) for event in samples][:2] == [(8, 3), (12, 4)]


def test_later_checkpoints_are_set_aside_only_once_the_named_one_is_loaded(bench_there):
    bench = bench_there
    named, later = bench.run / "checkpoint-3", bench.run / f"checkpoint-{STOPPED_AT}"
    choice = {"output_dir": bench.run, "resume": str(named), "manual": True, "overrides": ("training.eval_steps=3",)}

    def broken(*_):
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as once:
        once.setattr("engine.training.saving.load_optimizer", broken)
        assert bench.go(**choice) == ExitCode.ERROR
    assert later.is_dir(), "nothing is lost by a resume that came to nothing"

    bench.at("engine.training.memory.take_step", lambda: seen.append(later.exists()))
    seen: list[bool] = []
    assert bench.go(**choice) == ExitCode.FINISHED
    assert seen == [False]
    (aside,) = bench.run.glob(f"abandoned-{later.name}-*")
    assert any(aside.name in event.text for event in bench.events(MessageLogged))
    steps = [event.step for event in bench.events(StepCompleted)]
    assert steps == [*range(1, STOPPED_AT + 1), *range(4, steps[-1] + 1)]


def test_the_recorded_precision_threads_and_bins_are_taken_up_again():
    config = TrainingConfig(base_model="x", dataset="y", device="cpu", dtype="auto", threads=2, bin_tokens=512)
    fresh = place(config, None)
    assert (fresh.dtype, fresh.threads, fresh.bin_tokens) == ("float32", 2, 512)
    again = place(config, {**fresh.to_json(), "dtype": "bfloat16", "threads": 3, "bin_tokens": 128, "data": ["x"]})
    assert (again.dtype, again.threads, again.bin_tokens) == ("bfloat16", 3, 128)


def test_the_loss_before_training_is_only_ever_taken_before_the_first_step(bench):
    bench.evaluations([None, *[2.0] * 20])  # it was not finite
    choice = {"manual": True, "overrides": ("training.per_device_train_batch_size=16", "training.eval_steps=2")}
    bench.go_until(1, **choice)
    assert bench.go(resume="auto", **choice) == ExitCode.FINISHED
    whole = [event.step for event in bench.events(EvalCompleted) if event.scope == "full"]
    assert whole[0] == 0
    assert len(whole) == 2, "before the first step, and of the best model at the end"
    assert orjson.loads((bench.run / "model_info.json").read_bytes())["start_loss"] is None


def test_of_two_engines_started_for_one_new_run_the_second_refuses(bench, stopped):
    launch = bench.choose()
    shutil.copytree(stopped.run, bench.run)  # the other one was quicker
    before = RunDir(bench.run).events.read_bytes()
    with pytest.raises(UsageError, match="began since this start was decided"):
        run_engine(launch, quiet=True)
    with RunDir(bench.run).hold_lock(), pytest.raises(RunBusy):
        run_engine(replace(launch, resume="auto"), quiet=True)
    assert RunDir(bench.run).events.read_bytes() == before
