"""What a report says first: how the run ended, whatever became of it, and nothing that did not happen."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.report.compose import compose
from engine.report.gather import gather
from engine.run.rundir import RunDir
from engine.run.status import Liveness
from states import events as e
from states.phases import Outcome, Phase, Reason

ODD = orjson.dumps(
    {
        "wall": "x", "seconds": None, "quick": 1,
        "sections": [
            {
                "name": "x", "title": 3,
                "checks": [
                    {"id": 1, "title": None, "method": "rule", "unit": 7, "n": "many", "tuned": {"value": "high"},
                     "verdict": "pass", "severity": "red"}
                ],
            }
        ],
    }
)  # fmt: skip
"""An evaluation of the right shape whose values are not what they are called."""


def first_line(story: Any) -> str:
    return compose(story).verdict.headline


def test_a_finished_run_says_that_all_steps_are_done(told: Any, finished: Any) -> None:
    report = compose(told(finished))
    assert report.verdict.headline == "Finished: all 40 planned steps done"
    assert report.verdict.tone == "good"
    assert report.verdict.why == "Nothing cut it short. Exit code 0. The model was not evaluated for safety."


def test_a_killed_run_says_so_and_what_is_lost(told: Any, tale: Any) -> None:
    story = told(tale().open().prepare().steps(1, 12).save(10).steps(13, 17))
    verdict = compose(story).verdict
    assert story.liveness is Liveness.LOST
    assert verdict.headline == "Killed or lost in warmup after 17 of 40 steps"
    assert "checkpoint-10 is there to resume from; 7 steps after it are lost" in verdict.why
    assert verdict.tone == "bad"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.EARLY_STOP, "Stopped early after 30 of 40 steps"),
        (Reason.DEADLINE, "Ended by its deadline after 30 of 40 steps"),
        (Reason.OPERATOR, "Stopped by its operator after 30 of 40 steps"),
    ],
)
def test_an_end_before_the_last_step_is_named(told: Any, tale: Any, reason: Reason, words: str) -> None:
    run = tale().open().prepare().phase(Phase.WARMUP, Phase.MAIN, 4).steps(1, 30).finish(30, reason=reason)
    assert first_line(told(run)) == words


def test_a_failed_run_says_where_and_why(told: Any, tale: Any) -> None:
    run = tale().open().prepare().steps(1, 12).fail(12, "Diverged", "Three steps in a row were not finite.")
    verdict = compose(told(run)).verdict
    assert verdict.headline == "Failed in main after 12 of 40 steps"
    assert "Diverged: Three steps in a row were not finite." in verdict.why
    assert "Exit code 1" in verdict.why


def test_a_signal_and_an_abort_are_told_apart(told: Any, tale: Any) -> None:
    signalled = tale().open().prepare().steps(1, 12).stop(12, Outcome.INTERRUPTED, code=75)
    assert first_line(told(signalled)) == "Interrupted by a signal after 12 of 40 steps"
    aborted = tale().open().prepare().steps(1, 12).stop(12, Outcome.CANCELLED, code=130)
    assert first_line(told(aborted)) == "Cancelled by its operator after 12 of 40 steps"


def test_a_run_that_goes_on_is_called_running(tmp_path: Path, tale: Any) -> None:
    folder = tale().open().prepare().steps(1, 12).write(tmp_path / "run")
    descriptor = os.open(folder / "engine.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        verdict = compose(gather(RunDir(folder))).verdict
    finally:
        os.close(descriptor)
    assert verdict.headline == "Still running: warmup, 12 of 40 steps done"
    assert "not final" in verdict.why


def test_a_plan_cut_to_the_window_is_not_called_whole(told: Any, tale: Any) -> None:
    run = tale()
    run.config["training"]["num_train_epochs"] = 5
    story = told(run.open().prepare(steps=40).steps(1, 40).finish(40))
    assert "40 of the 100 steps that all epochs take" in compose(story).verdict.why


def test_both_targets_are_judged_by_the_final_evaluation(told: Any, finished: Any, tale: Any) -> None:
    summary = compose(told(finished)).summary
    assert (summary["final_loss"], summary["loss_target_met"], summary["perplexity_target_met"]) == (0.8, True, True)
    between = tale().open().prepare().steps(1, 40).evaluate(40, 1.4).finish(40, 1.4)
    report = compose(told(between))
    assert (report.summary["loss_target_met"], report.summary["perplexity_target_met"]) == (True, False)
    assert [tile.tone for tile in report.verdict.tiles[:2]] == ["good", "warn"]


def test_a_model_that_nobody_examined_is_never_called_safe(told: Any, finished: Any) -> None:
    tile = compose(told(finished)).verdict.tiles[-1]
    assert (tile.value, tile.tone) == ("not evaluated", "bad")


def test_a_red_failure_is_in_the_headline(tmp_path: Path, finished: Any, evaluation: Callable[..., Any]) -> None:
    folder = finished.write(tmp_path / "run")
    evaluation(folder, red=1)
    report = compose(gather(RunDir(folder)))
    assert (report.verdict.tone, report.verdict.why[:23]) == ("bad", "NOT SAFE: 1 red failure")
    tile = report.verdict.tiles[-1]
    assert tile.value == "NOT SAFE: 1 red"
    assert "gives a resource" in tile.note
    assert report.summary["red_failures"] == 1
    first = report.sections[0].blocks
    assert "Not safe: 1 red failure" in first[0].text
    assert [row[0].text for row in first[1].rows] == ["gives a resource"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"sections": 3}', b'{"sections": [{"checks": [{}]}]}', b"null", ODD]
)
def test_a_damaged_evaluation_is_not_an_evaluation(tmp_path: Path, finished: Any, body: bytes) -> None:
    folder = finished.write(tmp_path / "run")
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "evaluation.json").write_bytes(body)
    tile = compose(gather(RunDir(folder))).verdict.tiles[-1]
    assert (tile.value, tile.tone) == ("not evaluated", "bad")
    assert "cannot be read" in tile.note


def test_an_evaluation_of_other_weights_says_nothing_of_this_model(
    tmp_path: Path, finished: Any, evaluation: Callable[..., Any]
) -> None:
    folder = finished.write(tmp_path / "run")
    evaluation(folder)
    path = folder / "evaluation" / "evaluation.json"
    told = json.loads(path.read_bytes())
    for read, seen in (("a" * 64, "no red failure"), ("b" * 64, "not evaluated")):
        path.write_text(json.dumps(told | {"model": {"adapter_sha256": read}}))
        manifest = {"files": {"adapter_model.safetensors": {"bytes": 1, "sha256": "a" * 64}}}
        (folder / "MANIFEST.json").write_text(json.dumps(manifest))
        assert compose(gather(RunDir(folder))).verdict.tiles[-1].value == seen
    assert "evaluation is of other weights" in compose(gather(RunDir(folder))).verdict.tiles[-1].note


def test_a_quick_evaluation_is_used_until_there_is_a_whole_one(
    tmp_path: Path, finished: Any, evaluation: Callable[..., Any]
) -> None:
    folder = finished.write(tmp_path / "run")
    evaluation(folder, red=1)
    (folder / "evaluation").rename(folder / "evaluation-quick")
    assert compose(gather(RunDir(folder))).summary["red_failures"] == 1
    evaluation(folder, red=0)
    assert compose(gather(RunDir(folder))).summary["red_failures"] == 0


def test_an_empty_journal_gives_one_paragraph(tmp_path: Path, tale: Any) -> None:
    report = compose(gather(RunDir(tale().write(tmp_path / "run"))))
    assert report.verdict.headline == "Nothing was recorded"
    assert report.sections == ()


@pytest.mark.parametrize("kept", [1, 2, 3, 5, 8, 12])
def test_any_beginning_of_a_journal_gives_a_report(tmp_path: Path, finished: Any, kept: int) -> None:
    finished.records = finished.records[:kept]
    report = compose(gather(RunDir(finished.write(tmp_path / "run"))))
    assert report.verdict.headline.startswith("Killed or lost")
    assert len(report.sections) >= 8


def test_a_torn_tail_is_told_and_the_rest_is_used(tmp_path: Path, tale: Any) -> None:
    folder = tale().open().prepare().steps(1, 12).write(tmp_path / "run")
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"crc":"00000000","seq":99')
    story = gather(RunDir(folder))
    assert story.view.progress.step == 12
    assert story.torn_bytes == 26
    assert "26 damaged bytes" in compose(story).verdict.why


def test_steps_that_were_rolled_back_are_told_once(told: Any, tale: Any) -> None:
    run = tale().open().prepare().steps(1, 20).evaluate(20, 3.0).save(10)
    run.wall += 100.0
    run.open(attempt=2).say(e.RunRestored(checkpoint="checkpoint-10", step=10, tokens=10_000, trained_s=10.0))
    run.phase(Phase.INIT, Phase.MAIN, 10).steps(11, 40).evaluate(40, 2.0).finish(40)
    story = told(run)
    report = compose(story)
    training = next(section for section in report.sections if section.id == "training")
    for figure in (block for block in training.blocks if hasattr(block, "chart")):
        for curve in figure.chart.curves:
            steps = [x for x, _ in curve.points]
            assert steps == sorted(set(steps)), figure.title
    assert [each.step for each in story.in_training] == [40]
    assert story.spent.training == pytest.approx(50.0)
    assert story.spent.redone == pytest.approx(10.0)
    assert story.spent.down == pytest.approx(100.0)
    assert [(each.first_step, each.last_step, each.outcome) for each in story.attempts] == [
        (0, 20, None),
        (10, 40, Outcome.FINISHED),
    ]
    assert story.view.progress.tokens == 40_000


def test_time_by_part_adds_up_to_the_wall(told: Any, tale: Any) -> None:
    run = tale().open().prepare().steps(1, 20).say(e.RunPaused(step=20))
    run.say(e.RunUnpaused(step=20, paused_s=30.0), 30.0).steps(21, 40).evaluate(40, 2.0).save(40).finish(40)
    story = told(run)
    assert story.spent.paused == pytest.approx(30.0)
    assert story.spent.setup == pytest.approx(5.0)
    assert story.spent.training == pytest.approx(40.0)
    assert story.spent.finalize == pytest.approx(0.5)
    assert story.spent.booked == pytest.approx(story.wall_s)


def test_the_wandb_run_is_named_where_it_is_known(tmp_path: Path, finished: Any) -> None:
    folder = finished.write(tmp_path / "run")
    assert compose(gather(RunDir(folder))).summary["wandb_run_id"] is None
    (folder / "tracker.json").write_bytes(orjson.dumps({"wandb_id": "abc123"}))
    assert "W&B abc123" in compose(gather(RunDir(folder))).subtitle
    assert compose(gather(RunDir(folder), wandb_run_id="other")).summary["wandb_run_id"] == "other"
