"""What `checkpoint list`, `verify` and `prune` print, and how they exit."""

from __future__ import annotations

import os
import subprocess
import sys

import orjson
import pytest
from typer.testing import CliRunner

from configs.errors import UsageError
from engine.checkpoint.commands import app
from engine.checkpoint.root import publish
from engine.run.rundir import RunDir


def call(*arguments: object):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_list_shows_step_loss_size_and_the_best(run, save_step):
    save_step(500, eval_loss=1.25)
    save_step(1000, eval_loss=1.5)
    lines = call("list", run).output.splitlines()
    assert lines[0].startswith("checkpoint-500")
    assert "loss 1.2500" in lines[0]
    assert lines[0].endswith("best")
    assert "best" not in lines[1]
    assert lines[2].startswith("2 checkpoints, ")
    assert lines[0].index("loss") == lines[1].index("loss"), "columns line up"


def test_the_list_is_json_for_a_script(run, save_step):
    save_step(500, eval_loss=1.25)
    rows = orjson.loads(call("list", run, "--json").output)["checkpoints"]
    assert [(row["step"], row["eval_loss"], row["best"], row["ok"]) for row in rows] == [(500, 1.25, True, True)]


def test_without_a_name_it_is_the_run_of_this_place(run, save_step, monkeypatch, tmp_path):
    save_step(500)
    (run / "events.jsonl").touch()
    run.rename(tmp_path / "stint-demo")
    monkeypatch.chdir(tmp_path)
    assert "checkpoint-500" in call("list").output


def test_verify_exits_0_when_all_is_whole(run, save_step):
    publish(run, save_step(500, eval_loss=1.25).path)
    result = call("verify", run)
    assert result.exit_code == 0
    assert "published model" in result.output
    assert call("verify", run / "checkpoint-500").exit_code == 0


def test_verify_exits_1_and_names_the_damage(run, save_step):
    save_step(500)
    save_step(600)
    path = run / "checkpoint-600" / "moe_layers.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    result = call("verify", run)
    assert result.exit_code == 1
    assert "DAMAGED" in result.output
    assert "moe_layers.safetensors is damaged" in result.output
    body = orjson.loads(call("verify", run / "checkpoint-600", "--json").output)
    assert body["ok"] is False
    assert call("verify", run / "checkpoint-500").exit_code == 0


def test_prune_says_what_it_would_do_and_then_does_it(run, save_step):
    for step in range(1, 5):
        save_step(step, eval_loss=float(step))
    assert "checkpoint-2 would be removed" in call("prune", run, "--keep", 2, "--dry-run").output
    assert len(os.listdir(run)) == 4
    assert call("prune", run, "--keep", 2).output.splitlines() == ["checkpoint-2 removed", "1 removed, 3 stay"]
    assert not (run / "checkpoint-2").exists()


def test_a_run_that_trains_is_not_pruned_from_outside(run, save_step):
    for step in range(1, 4):
        save_step(step)
    with RunDir(run).hold_lock(), pytest.raises(UsageError):
        call("prune", run, "--keep", 1)
    assert len(list(run.glob("checkpoint-*"))) == 3


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_wrong_path_says_what_to_name(command, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        call(command, tmp_path / "nowhere")


def test_a_run_without_checkpoints_says_so(tmp_path):
    with pytest.raises(UsageError, match="no checkpoints"):
        call("list", tmp_path)


def test_the_commands_load_no_torch():
    absent = ("torch", "transformers", "safetensors")
    code = f"import sys, engine.checkpoint.commands; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
