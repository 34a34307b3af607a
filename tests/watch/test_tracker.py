"""W&B gets the numbers under the names its users know, and learns no more of the run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.run.rundir import RunDir
from engine.watch import wandb_run
from states import events as e
from tests.watch.fake_wandb import STOPPED, FakeWandb, routing, tracker

from .conftest import OPENING, Recorder, step

pytestmark = pytest.mark.usefixtures("nobody")


def test_where_files_lie_on_this_machine_is_not_uploaded(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    opening = [
        replace(event, config={"training": {"dataset": "/home/jane/talks.json", "learning_rate": 3e-4}})
        if isinstance(event, e.RunConfigured)
        else event
        for event in OPENING
    ]
    for event in (*opening, step(10), STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    (options,) = wandb.inits
    assert options["config"]["stint"] == {"training": {"dataset": "talks.json", "learning_rate": 3e-4}}


def test_the_numbers_arrive_under_the_names_of_the_training_guide(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    evaluated = e.EvalCompleted(step=10, scope="subset", loss=1.5, targets=9, eval_s=1.0, best=True, domains={})
    for event in (*OPENING, step(10), evaluated, routing(), STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    told = {name: value for values in wandb.run.logged for name, value in values.items()}
    assert told["train_loss"] == 2.145
    assert told["eval_loss"] == 1.5
    assert told["learning_rate"] == 2.9e-4
    assert told["grad_norm"] == 0.7
    assert told["tokens_per_s"] == 800.0
    assert told["training/elapsed_hours"] == 2.0
    assert 3.0 < told["training/remaining_hours"] < 6.0
    assert [told[f"expert_usage/{i}"] for i in range(4)] == [0.25, 0.25, 0.25, 0.25]
    assert told["expert_usage"] == ("histogram", [0.25, 0.25, 0.25, 0.25])
    assert told["routing_entropy"] == pytest.approx(1.3762, abs=1e-3)
    assert all(values["train/global_step"] == 10 for values in wandb.run.logged)
    assert ("*", "train/global_step") in wandb.run.defined
    assert wandb.run.summary == {
        "outcome": "finished",
        "reason": "target",
        "steps": 10,
        "best_eval_loss": 1.5,
        "best_step": 10,
    }
    assert wandb.run.exit_code == 0


def test_alarms_and_the_examination_arrive_too(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    alarm = e.ExpertsAlarmed(
        step=10,
        source="train",
        rule="dominant",
        level="bad",
        raised=True,
        layers=(1,),
        layer=1,
        expert=2,
        value=0.6,
        limit=0.5,
    )
    examined = e.ExpertsExamined(
        step=10,
        conversations=9,
        of_conversations=9,
        tokens=90,
        targets=40,
        examine_s=1.0,
        routed=1.25,
        average=1.5,
        forced=(1.5, None),
        mutual_information=0.2,
        permuted_p99=0.1,
    )
    for event in (*OPENING, step(10), alarm, examined, STOPPED):
        sink(record(event, 2.0))
    assert sink.close()
    told = {name: value for values in wandb.run.logged for name, value in values.items()}
    assert told["moe/alarm/train/dominant"] == 1.0
    assert told["moe/gap"] == 0.25
    assert told["moe/forced_loss/0"] == 1.5
    assert "moe/forced_loss/1" not in told
    assert told["moe/mutual_information"] > told["moe/mutual_information_by_chance"]


def test_a_loss_that_was_not_finite_is_left_out(rundir: RunDir, record: Recorder) -> None:
    wandb = FakeWandb()
    sink = tracker(rundir, wandb)
    sink(record(step(1, loss=None)))
    sink.close()
    (values,) = wandb.run.logged
    assert "train_loss" not in values
    assert values["learning_rate"] == 2.9e-4


def test_every_attempt_continues_the_same_curves(rundir: RunDir, record: Recorder) -> None:
    ids = []
    for _ in range(2):
        wandb = FakeWandb()
        sink = tracker(rundir, wandb)
        sink(record(step(1)))
        sink.close()
        (options,) = wandb.inits
        assert options["resume"] == "allow"
        assert options["dir"] == str(rundir.path)
        assert options["settings"].console == "off"
        assert options["settings"].save_code is False
        ids.append(options["id"])
    assert ids[0] == ids[1]


def test_a_damaged_id_file_is_replaced(rundir: RunDir) -> None:
    rundir.tracker_json.write_text('{"wandb_id": "../../etc"}')
    made = wandb_run.run_id(rundir)
    assert made.isalnum()
    assert wandb_run.run_id(rundir) == made
