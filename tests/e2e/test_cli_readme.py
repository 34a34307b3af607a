"""Every command of the README, typed as it stands there, on small things."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.load import demo_dir
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from states.events import CheckpointCompleted, RunPlanned, RunRestored, RunStopped
from states.phases import Cause, Outcome, Reason

README = Path(__file__).resolve().parents[2] / "README.md"
Typed = Callable[..., Any]


def readme_commands() -> list[str]:
    """The README's command lines, without their remarks."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python run.py")]
    return [re.split(r"\s{2,}#", line)[0].strip() for line in lines]


def words(command: str, **meant: object) -> list[list[str]]:
    """What `command` stands for: without its optional words and with them, once for each of its alternatives.

    `[RUN]` and `RUN` stand for the value of `meant`.
    """
    assert command in readme_commands(), "this line is not in the README"
    typed: list[list[str]] = [[]]
    for part in command.split()[2:]:
        bare = part.strip("[]")
        choices = [re.sub(r"^RUN", str(meant.get("RUN", "RUN")), choice) for choice in bare.split("|")]
        longer = [[*line, choice] for line in typed for choice in choices]
        typed = typed + longer if part.startswith("[") else longer
    return typed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(here: Path, configured: Callable[..., Path]) -> Path:
    """A working directory with a small configuration of its own, whose run goes to ./run."""
    shutil.copytree(configured(output_dir="run", num_train_epochs=1), here, dirs_exist_ok=True)
    return here


@pytest.fixture
def project_with_run(project: Path, finished_run: Path) -> Path:
    """The same with a finished run."""
    shutil.copytree(finished_run, project / "run")
    return project


def test_every_command_of_the_readme_is_typed_in_this_file() -> None:
    commands = readme_commands()
    assert len(commands) >= 12
    source = Path(__file__).read_text()
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


def test_a_model_is_exported_released_and_backed_up(
    typed: Typed, project_with_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    (project_with_run / ".gitignore").write_text("*\n")
    for made in (["init", "-q"], ["add", "-f", ".gitignore"], ["commit", "-q", "-m", "begin"]):
        subprocess.run([*git, *made], check=True)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "T")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    sent: list[str] = []

    def upload(_client: object, path: Path, place: Any, *_: object, **__: object) -> tuple[str, bool]:
        sent.append(place.key(path.name))
        return f"s3://{place.bucket}/{sent[-1]}", True

    monkeypatch.setattr("engine.release.remote.client", lambda endpoint: None)
    monkeypatch.setattr("engine.release.remote.upload", upload)
    for command, told in (
        ("python run.py export [RUN]", "routing active"),
        ("python run.py export [RUN] --form merged --output-dir merged", "routing inactive"),
        ("python run.py release 1.0 [RUN]", "tag run-v1.0 on"),
        ("python run.py backup [RUN] --output backup.tar.gz", "read back and compared"),
        ("python run.py backup [RUN] --to s3://bucket/models", "fetched and hashed"),
        ("python run.py restore backup.tar.gz restored", "every hash as recorded"),
    ):
        said = typed(*words(command, RUN="run")[-1])
        assert (said.code, said.err) == (0, ""), command
        assert told in said.out
    assert sent[0].startswith("models/run_")
    assert (project_with_run / "merged" / "merged" / "model.safetensors").is_file()
    assert (project_with_run / "restored" / "events.jsonl").is_file()


@pytest.fixture
def data(here: Path) -> Path:
    """A working directory with the demo's conversations as data.json."""
    return Path(shutil.copy(demo_dir() / "conversations.json", here / "data.json"))


def test_a_data_set_is_analyzed_validated_and_previewed(typed: Typed, data: Path) -> None:
    [analyze] = words("python run.py dataset analyze data.json")
    said = typed(*analyze)
    assert (said.code, said.err) == (0, "")
    for told in ("Total conversations", "Avg tokens per conversation", "Min tokens", "Max tokens", "Total tokens"):
        assert told in said.out
    for line in words("python run.py dataset validate data.json [--json]"):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        assert json.loads(said.out)["ok"] if "--json" in line else "0 errors" in said.out
    [preview] = words("python run.py dataset preview data.json 12")
    said = typed(*preview)
    assert (said.code, said.err) == (0, "")
    assert "row 12 (this one)" in said.out


def test_a_data_set_is_sampled_and_converted(typed: Typed, data: Path) -> None:
    command = "python run.py dataset sample --input data.json --output small.json --size 100 [--balance-domains]"
    for line in words(command):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        assert len(json.loads((data.parent / "small.json").read_text())["conversations"]) == 100
        (data.parent / "small.json").unlink()
    command = "python run.py dataset convert data.json --to messages|transcript --output converted.jsonl"
    for line in words(command):
        said = typed(*line)
        assert (said.code, said.err) == (0, "")
        (data.parent / "converted.jsonl").unlink()


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


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Safety and bias checks, which have tests of their own, as a section each."""
    from engine.quality import bias, safety
    from engine.quality.findings import Section

    for module in (safety, bias):
        name = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, "run", lambda *_, name=name, **__: iter([Section(name=name, title=name)]))


@pytest.mark.usefixtures("brief")
def test_a_model_is_evaluated(typed: Typed, project_with_run: Path, data: Path) -> None:
    for line in words("python run.py evaluate [RUN] --quick", RUN="run"):
        said = typed(*line)
        assert said.code == 0, said.err
        assert "Loss per therapist token" in said.out
    assert (project_with_run / "run" / "evaluation-quick" / "evaluation.json").is_file()
    data.write_text(json.dumps([{"text": "Client: boss\nTherapist: Tell me."}, {"text": "Client: b\nTherapist: c"}]))
    [line] = words("python run.py evaluate --model_path RUN --test_data data.json --output_dir results", RUN="run")
    said = typed(*line)
    assert said.code == 0, said.err
    assert json.loads((project_with_run / "results" / "evaluation.json").read_text())["data"]["conversations"] == 2


def test_a_model_answers(typed: Typed, project_with_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project_with_run / "prompts.json").write_text('["I feel worry"]')
    lines = words("python run.py infer --model_path RUN --test_file prompts.json [--json]", RUN="run")
    shown, told = (typed(*line) for line in lines)
    assert (shown.code, told.code) == (0, 0)
    assert "[1] client: I feel worry" in shown.out
    assert json.loads(told.out)["client"] == "I feel worry"
    last = words("python run.py infer [RUN] --prompt TEXT [--base] [--show-experts]", RUN="run")[-1]
    assert "experts: none" in typed(*last).err
    monkeypatch.setattr("sys.stdin", io.StringIO("/quit\n"))
    said = typed(*words("python run.py infer [RUN] --chat", RUN="run")[-1])
    assert said.code == 0
    assert "/quit leaves" in said.err


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
