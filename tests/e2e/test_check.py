"""Before a run begins: `--check` finds what would stop it and leaves nothing; Init's two steps are taken back whole."""

from __future__ import annotations

import shutil
from dataclasses import replace

import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.training.check import run_check
from engine.training.choose import Choice
from states.events import MessageLogged, RunFailed, RunPlanned, RunStopped, TaskCompleted
from states.phases import ExitCode, Phase

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture(autouse=True)
def _own_history(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def deaf_base(tiny_base, tmp_path):
    """A base whose head is all zeros, as a damaged download may be: nothing that is trained changes its answers."""
    folder = tmp_path / "deaf"
    shutil.copytree(tiny_base, folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = torch.zeros_like(weights["lm_head.weight"])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def rows(table) -> dict[str, str]:
    """The worst verdict of each check."""
    order = ["ok", "skip", "note", "fail"]
    worst: dict[str, str] = {}
    for row in table.rows:
        worst[row.name] = max(worst.get(row.name, "ok"), row.verdict, key=order.index)
    return worst


def test_a_start_that_is_sound_passes_every_check_and_leaves_nothing(configured, tmp_path):
    config = configured()
    before = sorted(tmp_path.rglob("*"))
    table = run_check(Choice(config=config))
    assert table.code == ExitCode.FINISHED
    assert "fail" not in rows(table).values()
    wanted = {"configuration", "run directory", "base and data", "disk", "device", "W&B", "data", "labels", "plan"}
    assert wanted | {"base model", "loss", "speed"} <= set(rows(table))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "name", "code"),
    [
        ({"dataset": "nowhere.json"}, "base and data", ExitCode.DATA),
        ({"base_model": "./nowhere"}, "base and data", ExitCode.USAGE),
        ({"overrides": ("training.eval_steps=no",)}, "configuration", ExitCode.USAGE),
        ({"hours": 0.0001}, "plan", ExitCode.USAGE),
    ],
    ids=str,
)
def test_what_would_stop_a_run_fails_its_own_check(configured, tmp_path, words, name, code):
    config = configured()
    before = sorted(tmp_path.rglob("*"))
    table = run_check(Choice(config=config, **words))
    assert table.code == code
    assert rows(table)[name] == "fail"
    assert "loss" not in rows(table), "nothing is loaded for a start that is refused"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_check_of_a_resume_looks_at_the_run_that_it_would_go_on_with(configured):
    config = configured()
    table = run_check(Choice(config=config, resume="auto"))
    assert rows(table)["run directory"] == "fail"
    assert "nothing to resume" in table.rows[-1].text
    table = run_check(Choice(config=config, resume="./nowhere"))
    assert table.code == ExitCode.USAGE
    assert "is not a directory" in table.rows[-1].text


def test_a_disk_that_is_too_small_is_refused_on_the_disk_that_counts(configured, monkeypatch):
    asked = []

    def free(path):
        asked.append(path)
        return 1000

    monkeypatch.setattr("engine.plan.disk.free_bytes", free)
    table = run_check(Choice(config=configured()))
    assert table.code == ExitCode.USAGE
    assert rows(table)["disk"] == "fail"
    assert asked[0].name == "run"


def test_the_command_prints_its_checks_and_answers_in_json(typed, configured):
    config = configured()
    said = typed("--check", "--config", config, "--json")
    body = orjson.loads(said.out)
    assert (said.code, body["ok"], body["exit_code"]) == (0, True, 0)
    assert orjson.loads(typed("check", "--config", config, "--json").out)["ok"]
    lines = typed("--config", config, "--check").out.splitlines()
    assert lines[-1].startswith("A run with these options can start.")
    assert any(line.startswith("ok    loss") and "falls in two small steps" in line for line in lines)


def test_a_base_whose_loss_does_not_fall_stops_the_run_before_it_trains(bench, deaf_base):
    assert bench.go(base_model=str(deaf_base)) == ExitCode.USAGE
    (failed,) = bench.events(RunFailed)
    assert failed.phase is Phase.INIT
    assert "does not fall in two small steps" in failed.message
    assert failed.traceback == ""
    assert bench.events(RunStopped)[-1].step == 0


def test_a_base_that_no_memory_here_can_hold_is_refused_in_setup(bench, configured):
    bench.monkeypatch.setattr("engine.training.planning.memory_limit", lambda _: 1000)
    assert bench.go() == ExitCode.USAGE
    (failed,) = bench.events(RunFailed)
    assert failed.phase is Phase.SETUP
    assert "Take a smaller base, or a card with" in failed.message


def test_little_memory_makes_small_bins_and_they_are_kept_by_a_resume(bench):
    from engine.plan.memory import USABLE
    from engine.training import planning

    tight = planning.Premises.memory

    def limited(premises, *, manual):
        whole = premises.as_asked().total
        return tight(replace(premises, memory_limit=int(0.999 * whole / USABLE)), manual=manual)

    bench.monkeypatch.setattr(planning.Premises, "memory", limited)
    choice = {"overrides": ("training.max_length=64", "training.num_train_epochs=1", "safety.reserve_minutes=0")}
    bench.go_until(3, **choice)
    first, second = bench.events(RunPlanned)
    assert first.bin_tokens == second.bin_tokens
    assert (first.bin_tokens, first.recompute) != (256, False)
    assert any("would not fit in the memory" in change for change in second.changes)
    runtime = orjson.loads((bench.run / "checkpoint-2" / "trainer_state.json").read_bytes())["stint"]["runtime"]
    assert (runtime["bin_tokens"], runtime["recompute"]) == (first.bin_tokens, first.recompute)
    bench.monkeypatch.setattr(planning.Premises, "memory", tight)
    assert bench.go(resume="auto", **choice) == ExitCode.FINISHED
    last = bench.run / bench.view.ending.checkpoint
    again = orjson.loads((last / "trainer_state.json").read_bytes())["stint"]["runtime"]
    assert again == runtime


def test_memory_that_the_loaded_base_has_taken_is_not_counted_twice(bench):
    from engine.training import planning

    found = [planning.memory_limit(torch.device("cpu")), 1000]
    bench.monkeypatch.setattr(planning, "memory_limit", lambda _: found[0] if len(found) == 1 else found.pop(0))
    bench.go_until(1)
    first, second = bench.events(RunPlanned)
    assert found == [1000]
    assert first.fits
    assert second.fits
    assert second.memory_limit == first.memory_limit


def test_the_check_names_the_base_whose_loss_does_not_fall(configured, deaf_base):
    table = run_check(Choice(config=configured(), base_model=str(deaf_base)))
    assert table.code == ExitCode.USAGE
    assert rows(table)["loss"] == "fail"


def test_the_two_steps_leave_every_bit_as_it_was(bench):
    from engine.training import build, falling

    seen = []

    def state(trainer):
        return [
            *(parameter.detach().clone() for parameter in trainer.parameters),
            *(value.clone() for value in trainer.adapted.routing.state().values()),
        ]

    def must_fall(session, trainer):
        before = state(trainer)
        moved = []

        def watched(*given, **choices):
            loss = original(*given, **choices)
            moved.append(any(not torch.equal(a, b) for a, b in zip(before, state(trainer), strict=True)))
            return loss

        original = falling._loss
        bench.monkeypatch.setattr(falling, "_loss", watched)
        found = falling.must_fall(session, trainer)
        assert any(moved), "the steps were really taken"
        assert all(torch.equal(a, b) for a, b in zip(before, state(trainer), strict=True))
        assert all(parameter.grad is None for parameter in trainer.parameters)
        assert not trainer.optimizer.state
        assert trainer.adapted.routing.sample() is None
        seen.append(found)
        return found

    bench.monkeypatch.setattr(build, "must_fall", must_fall)
    bench.go(overrides=("training.num_train_epochs=1", "training.per_device_train_batch_size=16"))
    (found,) = seen
    assert found.fell
    assert found.after < 0.98 * found.before
    assert any("falls in two small steps" in event.text for event in bench.events(MessageLogged))
    assert any(event.task == "check that the loss falls" for event in bench.events(TaskCompleted))
