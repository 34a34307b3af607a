"""Each recommendation fires on a planted number and names it, and is silent on a run in which nothing is amiss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.report.gather import gather
from engine.report.rules.book import RULES, recommend
from engine.run.rundir import RunDir
from states import events as e
from states.phases import Phase, Reason

Plant = Callable[[Any], Any]


def test_nothing_is_recommended_for_a_run_without_fault(told: Any, finished: Any) -> None:
    assert [each.rule for each in recommend(told(finished))] == []


def begun(tale: Any) -> Any:
    return tale().open(hours=60 / 3600)


def ended(run: Any, step: int = 40, loss: float = 0.8) -> Any:
    return run.finish(step, loss)


def evaluated(run: Any, losses: list[float], *, every: int = 10, **choices: Any) -> Any:
    """Ten steps before each evaluation; the best ones say so."""
    best = 99.0
    for index, loss in enumerate(losses):
        run.steps(index * every + 1, (index + 1) * every, **choices)
        run.evaluate((index + 1) * every, loss, best=loss < best)
        best = min(best, loss)
    return run


def steady(run: Any, **choices: Any) -> Any:
    return evaluated(run, [4.0, 3.999, 3.998, 3.997], **choices)


def gpu(run: Any, utilisation: float) -> Any:
    for step in range(1, 21):
        run.step(step)
        device = e.GpuDevice(index=0, uuid="u", name="H100", memory_used=10, memory_total=80, utilisation=utilisation)
        run.say(e.GpuSampled(devices=(device,)))
    return run


def examined(run: Any, *, gap: float = 0.1, information: float = 0.5) -> Any:
    return run.say(
        e.ExpertsExamined(
            step=40, conversations=5, of_conversations=30, tokens=100, targets=50, examine_s=1.0, routed=2.0,
            average=2.0 + gap, mutual_information=information, permuted_mean=0.1, permuted_p99=0.2, permutations=100,
        )
    )  # fmt: skip


def resumed(tale: Any) -> Any:
    run = begun(tale).prepare().steps(1, 20).open(attempt=2, hours=60 / 3600)
    run.say(e.RunRestored(checkpoint="checkpoint-2", step=2, tokens=2000, trained_s=2.0))
    return run.phase(Phase.INIT, Phase.MAIN, 2).steps(3, 40)


PLANTED: dict[str, Plant] = {
    "resume": lambda tale: begun(tale).prepare().steps(1, 12).save(10),
    "out-of-memory": lambda tale: ended(
        steady(begun(tale).prepare().say(e.MemoryReduced(step=1, old_bin_tokens=512, new_bin_tokens=256)))
    ),
    "checkpoints-failed": lambda tale: ended(
        steady(begun(tale).prepare()).say(e.CheckpointFailed(step=40, path="checkpoint-40", error="No space left"))
    ),
    "deadline-cut": lambda tale: evaluated(begun(tale).prepare(), [4.0, 3.9]).finish(20, 0.8, reason=Reason.DEADLINE),
    "too-slow": lambda tale: ended(steady(begun(tale).prepare(), seconds=2.0)),
    "gpu-underused": lambda tale: ended(gpu(begun(tale).prepare(), 40.0)),
    "work-lost": lambda tale: ended(resumed(tale)),
    "paused-long": lambda tale: ended(
        steady(begun(tale).prepare()).say(e.RunPaused(step=40)).say(e.RunUnpaused(step=40, paused_s=30.0), 30.0)
    ),
    "window-unused": lambda tale: ended(steady(tale().open(hours=1.0).prepare())),
    "sink-failed": lambda tale: ended(steady(begun(tale).prepare()).say(e.SinkDisabled(sink="tracker", error="x"))),
    "loss-flat": lambda tale: ended(steady(begun(tale).prepare(base_loss=0.805)), loss=0.8),
    "overfitting": lambda tale: ended(evaluated(begun(tale).prepare(), [3.0, 2.0, 2.1, 2.3])),
    "still-improving": lambda tale: ended(evaluated(begun(tale).prepare(), [3.0, 2.0, 1.5, 1.0])),
    "target-missed": lambda tale: ended(steady(begun(tale).prepare()), loss=1.2),
    "gradients-clipped": lambda tale: ended(steady(begun(tale).prepare(), grad_norm=3.0)),
    "gradient-spikes": lambda tale: ended(steady(begun(tale).prepare()).step(41, grad_norm=50.0)),
    "steps-rejected": lambda tale: ended(
        steady(begun(tale).prepare()).say(e.StepRejected(step=40, why="the loss is not finite", streak=1))
    ),
    "warmup-long": lambda tale: ended(steady(begun(tale).prepare(warmup=20))),
    "few-evaluations": lambda tale: ended(begun(tale).prepare().steps(1, 40).evaluate(40, 3.0)),
    "early-stop-early": lambda tale: evaluated(begun(tale).prepare(steps=100), [4.0, 4.1, 4.2, 4.3]).finish(
        40, 0.8, reason=Reason.EARLY_STOP
    ),
    "early-stop-late": lambda tale: ended(evaluated(begun(tale).prepare(), [3.0, 3.001, 3.001, 3.001])),
    "expert-dominant": lambda tale: ended(steady(begun(tale).prepare()).route(40, (1700, 100, 100, 100), "eval")),
    "expert-dead": lambda tale: ended(steady(begun(tale).prepare()).route(40, (660, 660, 660, 20), "eval")),
    "expert-balance": lambda tale: ended(steady(begun(tale).prepare()).route(40, (700, 500, 400, 400), "eval")),
    "routing-entropy": lambda tale: ended(steady(begun(tale).prepare()).route(40, (1400, 400, 100, 100), "eval")),
    "routing-idle": lambda tale: ended(examined(steady(begun(tale).prepare()), gap=-0.01)),
    "no-specialisation": lambda tale: ended(examined(steady(begun(tale).prepare()), information=0.15)),
    "domain-small": lambda tale: ended(steady(begun(tale).prepare(domains={"grief": 100, "work": 12}))),
    "many-splits": lambda tale: ended(
        steady(begun(tale).prepare(waterfall={"read": 300, "parsed": 300, "kept": 300, "examples": 400}))
    ),
    "rows-lost": lambda tale: ended(
        steady(begun(tale).prepare(waterfall={"read": 300, "parsed": 250, "kept": 250, "examples": 250}))
    ),
}
"""Rule -> a run in which its number is wrong."""
NUMBERS = {
    "resume": 10.0,
    "out-of-memory": 1.0,
    "deadline-cut": 0.5,
    "gpu-underused": 40.0,
    "gradients-clipped": 1.0,
    "gradient-spikes": 100.0,
    "warmup-long": 0.5,
    "early-stop-late": 0.75,
    "few-evaluations": 1.0,
    "domain-small": 12.0,
    "work-lost": 18 / 58,
    "expert-balance": 0.35,
    "expert-dead": 0.01,
    "expert-dominant": 0.85,
}


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_fault_is_found_with_its_number(rule: str, told: Any, tale: Any) -> None:
    found = {each.rule: each for each in recommend(told(PLANTED[rule](tale)))}
    assert rule in found
    advice = found[rule]
    assert advice.value is not None
    assert advice.limit is not None
    assert any(letter.isdigit() for letter in advice.evidence)
    if rule in NUMBERS:
        assert advice.value == pytest.approx(NUMBERS[rule], rel=0.02)


def test_every_rule_is_tried_by_a_planted_fault() -> None:
    elsewhere = {"not-safe", "not-evaluated", "data-slow"}
    assert len(RULES) == len(PLANTED) + len(elsewhere)


def test_settings_to_change_are_given_with_their_values(told: Any, tale: Any) -> None:
    found = {each.rule: each for each in recommend(told(PLANTED["overfitting"](tale)))}
    (change,) = found["overfitting"].changes
    assert (change.setting, change.now, change.then) == ("training.num_train_epochs", "2", "1")
    found = {each.rule: each for each in recommend(told(PLANTED["out-of-memory"](tale)))}
    assert [(each.setting, each.then) for each in found["out-of-memory"].changes] == [("training.bin_tokens", "256")]


def test_a_run_that_failed_for_memory_gets_the_remedies_for_it(told: Any, tale: Any) -> None:
    run = begun(tale).prepare().steps(1, 3).fail(3, "OutOfMemoryError", "CUDA out of memory.")
    found = {each.rule: each for each in recommend(told(run))}
    settings = {each.setting: each.then for each in found["out-of-memory"].changes}
    assert settings["training.optimization_priority"] == "memory_efficient"
    assert settings["training.max_length"] == "256"
    assert "Look at it." in found["resume"].advice


def test_waiting_for_data_is_found(told: Any, tale: Any) -> None:
    run = begun(tale).prepare()
    for step in range(1, 21):
        run.say(
            e.StepCompleted(
                step=step, epoch=0.1, loss=2.0, lr=1e-3, grad_norm=0.5, tokens=1000, targets=500, step_s=1.0, data_s=0.4
            ),
            1.0,
        )
    found = {each.rule: each for each in recommend(told(run))}
    assert found["data-slow"].value == pytest.approx(0.4)


def test_red_failures_come_before_everything(tmp_path: Path, finished: Any, evaluation: Any) -> None:
    folder = finished.write(tmp_path / "run")
    evaluation(folder, red=2)
    first = recommend(gather(RunDir(folder)))[0]
    assert (first.rule, first.value, first.tone) == ("not-safe", 2.0, "bad")


def test_a_published_model_that_nobody_examined_is_to_be_evaluated(tmp_path: Path, finished: Any) -> None:
    folder = finished.write(tmp_path / "run")
    (folder / "MANIFEST.json").write_text("{}")
    (folder / "model_info.json").write_text('{"version": "1.0"}')
    assert [each.rule for each in recommend(gather(RunDir(folder)))] == ["not-evaluated"]


def advised(story: Any) -> dict[str, dict[str, str]]:
    return {each.rule: {one.setting: one.then for one in each.changes} for each in recommend(story)}


def test_no_setting_is_given_two_values_or_the_one_that_it_has(told: Any, tale: Any) -> None:
    run = begun(tale).prepare()
    run.config["training"]["optimization_priority"] = "memory_efficient"
    steady(run, grad_norm=3.0).route(40, (1700, 280, 10, 10), "eval")
    found = recommend(told(run.fail(40, "OutOfMemoryError", "CUDA out of memory.")))
    changes = [one for each in found for one in each.changes]
    assert len({each.rule for each in found} & {"out-of-memory", "expert-dominant", "expert-dead"}) == 3
    assert len({one.setting for one in changes}) == len(changes)
    assert all(one.now != one.then for one in changes)
    assert {one.setting: one.then for one in changes}["moe.load_balancing_weight"] == "0.05"


def test_more_epochs_are_not_asked_of_a_window_that_was_too_short(told: Any, tale: Any) -> None:
    run = tale().open(hours=60 / 3600)
    run.config["training"]["num_train_epochs"] = 3
    found = advised(told(ended(evaluated(run.prepare(), [3.0, 2.0, 1.5, 1.0]))))
    assert "deadline-cut" in found
    assert "still-improving" not in found


def test_a_killed_run_is_not_reproached_for_evaluations_it_never_reached(told: Any, tale: Any) -> None:
    run = begun(tale).prepare(steps=400).steps(1, 40).evaluate(10, 3.0).steps(41, 60)
    assert not {"few-evaluations", "early-stop-late", "target-missed"} & set(advised(told(run)))


def test_an_early_stop_is_not_called_too_early_and_too_late(told: Any, tale: Any) -> None:
    found = advised(told(PLANTED["early-stop-early"](tale)))
    assert found["early-stop-early"]["safety.early_stopping_patience"] == "6"
    assert "early-stop-late" not in found


def test_a_loss_that_rose_is_not_called_still(told: Any, tale: Any) -> None:
    found = recommend(told(ended(steady(begun(tale).prepare(base_loss=0.5)), loss=0.8)))
    assert "The loss rose" in [each.title for each in found]


def test_a_longer_warm_up_is_advised_only_where_the_plan_would_take_it(told: Any, tale: Any) -> None:
    found = advised(told(PLANTED["gradient-spikes"](tale)))
    assert found["gradient-spikes"] == {"training.learning_rate": "0.0005"}
    run = steady(begun(tale).prepare(steps=40, warmup=1))
    run.config["training"]["warmup_steps"] = 1
    assert advised(told(ended(run.step(41, grad_norm=50.0))))["gradient-spikes"] == {"training.warmup_steps": "2"}


def test_longer_examples_are_given_bins_that_hold_them(told: Any, tale: Any) -> None:
    found = advised(told(PLANTED["many-splits"](tale)))
    assert found["many-splits"] == {"training.max_length": "1024", "training.bin_tokens": "1024"}


def test_hours_advised_are_never_fewer_than_needed(told: Any, tale: Any) -> None:
    run = evaluated(tale().open(hours=5.2).prepare(), [4.0, 3.9]).finish(20, 0.8, reason=Reason.DEADLINE)
    assert advised(told(run))["deadline-cut"]["training.max_training_hours"] == "11"


def test_a_clock_that_was_set_back_stops_no_advice(told: Any, tale: Any) -> None:
    run = tale().open(hours=1.0).prepare()
    run.wall -= 3600.0
    assert advised(told(ended(steady(run))))["window-unused"]["training.max_training_hours"] == "0.001"


def test_a_card_is_not_called_idle_for_the_time_before_training(told: Any, tale: Any) -> None:
    run = begun(tale)
    idle = e.GpuDevice(index=0, uuid="u", name="H100", memory_used=10, memory_total=80, utilisation=0.0)
    for _ in range(60):
        run.say(e.GpuSampled(devices=(idle,)))
    assert "gpu-underused" not in advised(told(ended(gpu(run.prepare(), 95.0))))
