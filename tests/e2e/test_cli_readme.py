"""Every command of the README for a run, typed as it stands there, on small things."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from states.events import CheckpointCompleted, RunPlanned, RunRestored, RunStopped
from states.phases import Cause, Outcome, Reason
from tests.e2e.readme import Typed, readme_commands, words


def test_every_command_of_the_readme_is_typed_in_these_files() -> None:
    commands = readme_commands()
    assert len(commands) >= 12
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_cli_readme*.py"))
    assert [command for command in commands if f'"{command}"' not in source] == []


def test_a_bare_start_without_a_configuration_is_the_demo(here: Path) -> None:
    launch = choose(Choice())
    assert launch.directory == here / "stint-demo"
    assert any("this is the built-in demo" in sentence for sentence in launch.said)
    assert list(here.iterdir()) == []


def test_init_writes_the_preset_and_config_check_reads_it(typed: Typed, here: Path) -> None:
    [init] = words("python run.py init")
    said = typed(*init)
    assert (said.code, said.err) == (0, "")
    names = {path.name for path in here.iterdir()}
    assert names == {"training_config.json", "moe_training_config.json", "safety_config.json", "wandb_config.json"}
    assert {line.removeprefix("wrote ") for line in said.out.splitlines()} == names
    [check] = words("python run.py config check")
    said = typed(*check)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("The configuration is valid.\n")
    assert json.loads(typed("config", "show", "--json").out)["moe"]["num_experts"] == 4
    assert "training_config.json" in json.loads(typed("config", "schema").out)


def test_a_project_trains_in_the_window_that_is_given(typed: Typed, project: Path) -> None:
    [start] = words("python run.py --hours 11.5")
    said = typed(*start)
    assert (said.code, said.err) == (0, "")
    assert "Training with ./training_config.json." in said.out
    assert "a window of 11h 30m" in said.out
    plans = [record.event for record in read(project / "run" / "events.jsonl") if isinstance(record.event, RunPlanned)]
    assert plans


def test_a_project_is_planned_and_checked_before_it_starts(typed: Typed, project: Path) -> None:
    [plan] = words("python run.py plan --hours 11.5")
    said = typed(*plan)
    assert (said.code, said.err) == (0, "")
    assert "Fits in the 11h 30m window" in said.out
    [check] = words("python run.py --check")
    said = typed(*check)
    assert (said.code, said.err) == (0, "")
    assert "A run with these options can start." in said.out
    assert not (project / "run").exists()


def test_plain_lines_tell_the_whole_run(typed: Typed, project: Path) -> None:
    [start] = words("python run.py --no-tui")
    said = typed(*start)
    assert (said.code, said.err) == (0, "")
    for told in ("Plan: ", "Phase: setup -> init", "Loss: ", "Eval: step", "Checkpoint at ", "exit code 0"):
        assert told in said.out


def test_json_is_records_and_nothing_else(terminals: Any, project: Path) -> None:
    [start] = words("python run.py --json")
    said = terminals.stint(*start)
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    assert said.stdout == (project / "run" / "events.jsonl").read_text()


def test_status_tells_a_person_and_a_script(typed: Typed, project_with_run: Path) -> None:
    for line in words("python run.py status [RUN] [--json]", RUN="run"):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        if "--json" in line:
            facts = json.loads(said.out)
            assert (facts["state"], facts["outcome"], facts["exit_code"]) == ("stopped", "finished", 0)
        else:
            assert "finished (target), exit code 0" in said.out


def test_checkpoints_are_listed_verified_and_pruned(typed: Typed, project_with_run: Path) -> None:
    for line in words("python run.py checkpoint list|verify|prune [RUN]", RUN="run"):
        said = typed(*line)
        assert (said.code, said.err) == (0, ""), line
        assert typed(*line, "--json").out.startswith("{")
    assert len(RunDir(project_with_run / "run").checkpoints()) == 5
    assert typed("checkpoint", "prune", "run", "--keep", "1").code == 0
    assert [path.name for path in RunDir(project_with_run / "run").checkpoints()] == ["checkpoint-22"]


def test_a_report_is_written(typed: Typed, project_with_run: Path) -> None:
    for line in words("python run.py report [RUN]", RUN="run"):
        said = typed(*line)
        assert (said.code, said.err) == (0, ""), line
        assert said.out.startswith("Finished: all 22 planned steps done")
    assert (project_with_run / "run" / "training_report.pdf").read_bytes().startswith(b"%PDF")


def test_a_damaged_checkpoint_is_named_by_verify(typed: Typed, project_with_run: Path) -> None:
    (project_with_run / "run" / "checkpoint-20" / "trainer_state.json").unlink()
    said = typed("checkpoint", "verify", "run")
    assert said.code == 1
    assert "trainer_state.json is missing" in said.out
    verdicts = json.loads(typed("checkpoint", "verify", "run", "--json").out)
    assert verdicts["ok"] is False
    assert [row["name"] for row in verdicts["checkpoints"] if not row["ok"]] == ["checkpoint-20"]


def test_a_recorded_run_is_told_again(typed: Typed, terminal: Any, project_with_run: Path) -> None:
    [line] = words("python run.py replay RUN/events.jsonl --speed 60", RUN="run")
    said = typed(*line)
    assert (said.code, said.err) == (0, "")
    assert "exit code 0" in said.out
    log = [line[21:] for line in (project_with_run / "run" / "training.log").read_text().splitlines()]
    assert said.out.splitlines() == log, "what the console told, word for word"
    late = typed("replay", "run", "--no-tui", "--at", "3600")
    assert (late.code, late.out) == (0, "")
    screen = terminal(*line)
    screen.until("STOPPED")
    assert screen.leave() == 0


def test_attach_shows_a_run_that_has_ended(terminal: Any, project_with_run: Path) -> None:
    for line in words("python run.py attach [RUN]", RUN="run"):
        screen = terminal(*line)
        screen.until("STOPPED")
        assert screen.leave() == 0


def test_resume_goes_on_from_the_newest_checkpoint_that_verifies(typed: Typed, project_with_run: Path) -> None:
    run = project_with_run / "run"
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if '"new":"finalize"' in line)
    (run / "events.jsonl").write_text("".join(lines[:end]))
    (run / "checkpoint-22" / "optimizer.safetensors").write_bytes(b"damage")
    [line] = words("python run.py --resume auto")
    said = typed(*line, "--resume_from_checkpoint", "auto")
    assert (said.code, said.err) == (0, "")
    assert "Going on with the unfinished run in" in said.out
    assert "It keeps its own configuration; without effect here: training.num_train_epochs: 2 -> 1." in said.out
    restored = [record.event for record in read(run / "events.jsonl") if isinstance(record.event, RunRestored)]
    assert [event.checkpoint for event in restored] == ["checkpoint-20"]
    assert [record.seq for record in read(run / "events.jsonl")] == list(range(len(list(read(run / "events.jsonl")))))


def test_a_detached_engine_obeys_every_command_that_can_be_sent(
    typed: Typed, terminals: Any, lasting: Callable[..., Any], here: Path
) -> None:
    run = lasting(at=here)
    shutil.copytree(run.config, here, dirs_exist_ok=True)
    [start] = words("python run.py --detach")
    said = terminals.stint(*start)
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith(f"`python run.py attach {run.path}` shows it.\n")
    run.trains()
    asked = words("python run.py send checkpoint|evaluate|pause|unpause|finish|abort [RUN]", RUN=run.path)
    sent = {line[1]: line for line in asked if len(line) == 2}
    for name in ("checkpoint", "evaluate", "pause", "unpause"):
        said = typed(*sent[name])
        assert (said.code, said.err) == (0, ""), name
        assert f"{name}: applied" in said.out
    said = typed("send", "checkpoint", run.path, "--json")
    assert json.loads(said.out)["state"] == "applied"
    assert json.loads(typed("send", "status").out)["phase"] == "main"
    assert "running" in typed("status").out
    assert typed(*sent["finish"]).code == 0
    terminals.wait_for(lambda: not run.rundir.is_live(), "the end of a run that was asked to finish")
    [stopped] = run.events(RunStopped)
    assert (stopped.outcome, stopped.reason, stopped.exit_code) == (Outcome.FINISHED, Reason.OPERATOR, 0)
    causes = [event.cause for event in run.events(CheckpointCompleted)]
    assert causes.count(Cause.OPERATOR) == 2
    names = {path.name for path in run.path.iterdir()}
    assert "engine.out" in names
    assert not {name for name in names if name.startswith("launch") or name.endswith(".sock")}
    said = typed(*sent["abort"])
    assert said.code == 1
    assert "the run is stopped" in said.err
