"""What a start means where a run already is: go on, start over, or begin beside it; and that it says which."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.load import demo_dir, load
from engine.run.journal import read
from engine.training.decide import decide
from engine.training.launch import Launch
from engine.training.resuming import AlreadyFinished
from states.events import LogOpened, RunConfigured, RunRestored, RunStopped
from states.phases import Outcome

Typed = Callable[..., Any]


def events(run: Path, *kinds: type[Any]) -> list[Any]:
    return [record.event for record in read(run / "events.jsonl") if isinstance(record.event, kinds)]


def cut(run: Path, before: str) -> None:
    """Leave the journal as a killed engine would have: ended before the first line with `before`."""
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if before in line)
    (run / "events.jsonl").write_text("".join(lines[:end]))


@pytest.fixture
def unfinished(finished_run: Path, tmp_path: Path) -> Path:
    run = tmp_path / "lost"
    shutil.copytree(finished_run, run)
    cut(run, '"new":"finalize"')
    return run


def test_a_run_that_failed_before_it_trained_is_started_over_once_the_mistake_is_corrected(
    typed: Typed, configured: Callable[..., Path], tmp_path: Path
) -> None:
    config, run, template = configured(num_train_epochs=1), tmp_path / "run", tmp_path / "broken.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] }} over {% endfor %}")
    said = typed("--no-tui", "--config", config, "--chat-template", template)
    assert said.code == 2, "a configuration error found late is one all the same"
    assert "The chat template ends a therapist turn without a special token" in said.out
    [failed] = events(run, RunStopped)
    assert (failed.outcome, failed.exit_code) == (Outcome.FAILED, 2)
    said = typed("--no-tui", "--config", config)
    assert (said.code, said.err) == (0, "")
    assert "ended before it trained anything: starting over in its place" in said.out
    assert [event.attempt for event in events(run, LogOpened)] == [1, 2]
    assert [event.outcome for event in events(run, RunStopped)] == [Outcome.FAILED, Outcome.FINISHED]
    records = list(read(run / "events.jsonl"))
    assert [record.seq for record in records] == list(range(len(records)))


def test_other_data_than_the_run_began_with_is_a_data_error_and_putting_it_back_helps(
    typed: Typed, configured: Callable[..., Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    run, data = tmp_path / "run", tmp_path / "data.json"
    shutil.copy(tiny_dataset, data)
    start = ("--no-tui", "--config", configured(dataset=str(data), num_train_epochs=1))
    assert typed(*start).code == 0
    cut(run, '"new":"finalize"')
    data.write_text(data.read_text().replace("Therapist: It sounds", "Therapist: That sounds"))
    said = typed(*start, "--resume", "auto")
    assert said.code == 3
    assert "The dataset has changed since this run began" in said.out
    assert events(run, RunStopped)[-1].exit_code == 3
    shutil.copy(tiny_dataset, data)
    assert typed(*start, "--resume", "auto").code == 0


def test_the_same_start_goes_on_with_an_unfinished_run_inside_its_old_window(
    typed: Typed, finished_run: Path, unfinished: Path
) -> None:
    said = typed("--no-tui", "--config", finished_run.parent / "config", "--output-dir", unfinished)
    assert (said.code, said.err) == (0, "")
    assert f"Going on with the unfinished run in {unfinished}." in said.out
    first, second = events(unfinished, RunConfigured)
    assert (second.opened_wall, second.deadline_wall) == (first.opened_wall, first.deadline_wall)
    assert events(unfinished, RunRestored)[0].checkpoint == "checkpoint-22"


def test_going_on_with_a_run_takes_settings_that_change_no_step(
    typed: Typed, finished_run: Path, unfinished: Path
) -> None:
    for step in (20, 22):
        shutil.rmtree(unfinished / f"checkpoint-{step}")
    start = ("--no-tui", "--config", finished_run.parent / "config", "--output-dir", unfinished)
    said = typed(*start, "--resume", "auto", "--set", "save_total_limit=2", "--hours", "3")
    assert (said.code, said.err) == (0, "")
    assert "without effect" not in said.out
    assert events(unfinished, RunConfigured)[-1].config["training"]["save_total_limit"] == 2
    assert {path.name for path in unfinished.glob("checkpoint-*")} == {"checkpoint-20", "checkpoint-22"}
    window = events(unfinished, RunConfigured)[-1]
    assert window.deadline_wall - window.opened_wall == pytest.approx(3 * 3600)


def test_going_back_to_a_named_checkpoint_sets_the_later_ones_aside(
    typed: Typed, finished_run: Path, unfinished: Path
) -> None:
    said = typed("--no-tui", "--resume", unfinished / "checkpoint-18")
    assert (said.code, said.err) == (0, "")
    assert "It keeps its own configuration" in said.out, "typed without --config, so the demo's was at hand"
    assert events(unfinished, RunRestored)[0].checkpoint == "checkpoint-18"
    assert list(unfinished.glob("abandoned-checkpoint-22-*"))
    assert (unfinished / "checkpoint-22").is_dir()
    assert not list(finished_run.glob("abandoned*"))


def start_demo(directory: Path, resume: str | None = None) -> Launch:
    config = load(demo_dir())
    return decide(config, directory, demo=True, resume=resume, hours=None, deadline=None, manual=False)


def test_the_demo_counts_its_directories_up_and_resumes_the_newest(finished_run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "stint-demo", tmp_path / "stint-demo-2"
    assert start_demo(first).directory == first
    shutil.copytree(finished_run, first)
    launch = start_demo(first)
    assert launch.directory == second
    assert f"The last demo run is finished, so this one goes to {second}." in launch.said
    with pytest.raises(AlreadyFinished, match="stint-demo is finished"):
        start_demo(first, resume="auto")
    time.sleep(0.01)
    shutil.copytree(finished_run, second)
    cut(second, '"new":"finalize"')
    launch = start_demo(first, resume="auto")
    assert (launch.directory, launch.resume) == (second, "auto")


def test_an_engine_that_died_before_its_first_record_leaves_nothing_in_the_way(
    typed: Typed, configured: Callable[..., Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("engine.out", "engine.lock", "launch.json-123", "events.jsonl"):
        (run / name).touch()
    for resume in ((), ("--resume", "auto")):
        (run / "events.jsonl").write_text("")
        said = typed("--no-tui", "--config", configured(num_train_epochs=1), *resume)
        assert (said.code, said.err) == (0, "")
        for made in run.iterdir():
            if made.is_dir():
                shutil.rmtree(made)
