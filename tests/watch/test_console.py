"""What a person reads without a screen, what a script reads, and terminals that go away."""

from __future__ import annotations

import io
import os
import pty
import threading
import time
from pathlib import Path

import pytest

from engine.run.bus import Bus, Clock
from engine.run.journal import Journal
from engine.run.rundir import RunDir
from engine.watch.console import Console
from engine.watch.logfile import LogFile
from engine.watch.story import Story
from states import events as e
from states.phases import Cause, Outcome, Phase, Reason, Trigger

from .conftest import OPENING, Recorder, step


def lines_of(record: Recorder, *events: e.Event | tuple[e.Event, float], every: int = 10) -> list[str]:
    story = Story(every)
    timed = (event if isinstance(event, tuple) else (event, 0.0) for event in (*OPENING, *events))
    told = [story.tell(record(event, at)) for event, at in timed]
    return [line for lines in told[len(OPENING) :] for line in lines]


def test_progress_reads_as_the_training_guide_shows_it(record: Recorder) -> None:
    (line,) = lines_of(record, step(115))
    assert line.startswith("Progress: 15.3% | Loss: 2.145 | Step: 115 | LR: 2.90e-04 | 800 tokens/s | ")
    assert line.endswith(" left")


def test_progress_is_told_for_the_first_step_every_tenth_and_the_last(record: Recorder) -> None:
    lines = lines_of(record, *(step(i) for i in range(1, 31)), *(step(i) for i in range(741, 751)))
    assert [line.split("Step: ")[1].split(" |")[0] for line in lines] == ["1", "10", "20", "30", "750"]


def test_a_loss_that_was_not_finite_is_a_dash(record: Recorder) -> None:
    (line,) = lines_of(record, step(10, loss=None))
    assert "Loss: - |" in line


def test_a_checkpoint_says_how_many_hours_in(record: Recorder) -> None:
    saved = e.CheckpointCompleted(
        step=90, path="checkpoint-90", cause=Cause.SCHEDULE, bytes=491_000_000, save_s=2.0, best=True
    )
    (line,) = lines_of(record, (saved, 0.5))
    assert line.startswith("Checkpoint at 0.5 hours: checkpoint-90, 491 MB in 2.0 s")
    (line,) = lines_of(record, (saved, 0.03))
    assert line.startswith("Checkpoint at 0.03 hours: ")


def test_an_evaluation_names_perplexity_and_the_best_so_far(record: Recorder) -> None:
    def evaluated(number: int, loss: float, best: bool) -> e.EvalCompleted:
        return e.EvalCompleted(step=number, scope="subset", loss=loss, targets=9, eval_s=1.0, best=best, domains={})

    first, second = lines_of(record, evaluated(75, 1.5, True), evaluated(150, 1.6, False))
    assert first == "Eval: step 75, subset: loss 1.5000, perplexity 4.48, best so far"
    assert second.endswith("perplexity 4.95; best 1.5000 at step 75")


def test_the_plan_is_a_table_with_its_changes(record: Recorder) -> None:
    story = Story(10)
    told = [story.tell(record(event)) for event in OPENING]
    assert told[2] == [
        "Plan: 750 steps, 75 of warm-up, 4h 17m in all (measured throughput)",
        "  setup        2m 00s",
        "  training     4h 10m",
        "  finalize     5m 00s",
        "  memory       30.0 GB of 40.0 GB, bins of up to 4,096 tokens, activations recomputed",
        "  window       12h 00m left, 7h 43m to spare",
        "  changed: warm-up shortened to 75 steps: 1000 of 750 would never reach the peak",
    ]
    assert told[4] == ["Phase: init -> warmup"]


def test_a_long_task_says_how_far_it_is_now_and_then(record: Recorder) -> None:
    seconds = 1 / 3600
    lines = lines_of(
        record,
        (e.TaskStarted(task="load base model", detail="5 files", total=100), 0.0),
        *((e.TaskProgressed(task="load base model", done=i), i * seconds) for i in range(1, 41)),
        (e.TaskCompleted(task="load base model", task_s=41.0), 41 * seconds),
    )
    assert lines == [
        "Task: load base model (5 files) ...",
        "Task: load base model: 15 of 100",
        "Task: load base model: 30 of 100",
        "Task: load base model, 41 s",
    ]


def test_trouble_stands_out(record: Recorder) -> None:
    lines = lines_of(
        record,
        e.DeadlineReplanned(step=9, planned_steps=600, step_s=30.0, remaining_s=100.0, why="steps take longer"),
        e.EarlyStopTriggered(step=9, loss=2.0, best_loss=1.5, best_step=3, patience=3),
        e.MessageLogged(level="WARNING", logger="lib", text="careful"),
        e.CheckpointFailed(step=9, path="checkpoint-9", error="No space left on device"),
        e.RunFailed(
            error_type="OutOfMemoryError", message="no memory", traceback="...", phase=Phase.MAIN, step=9,
            remedy="lower bin_tokens",
        ),
    )  # fmt: skip
    assert lines[0].startswith("Plan: 600 steps instead of 750")
    assert lines[1].startswith("WARNING: Stop: 3 evaluations without improvement")
    assert lines[2] == "WARNING: Message: lib: careful"
    assert lines[3].startswith("ERROR: Checkpoint: checkpoint-9 failed, training goes on")
    assert lines[4].startswith("ERROR: Failure: OutOfMemoryError in main: no memory")
    assert lines[5] == "  what to do: lower bin_tokens"


def test_the_ending_sums_the_run_up(record: Recorder) -> None:
    ended = e.RunStopped(
        outcome=Outcome.FINISHED,
        reason=Reason.TARGET,
        step=750,
        tokens=12_000_000,
        trained_s=15000.0,
        paused_s=0.0,
        wall_s=15228.0,
        exit_code=0,
        best_loss=1.198,
        best_step=700,
        checkpoint="checkpoint-750",
    )
    lines = lines_of(record, (ended, 4.23))
    assert lines[0].startswith("Stop: finished at step 750")
    assert lines[1:] == [
        "Training ended after 4.23 hours, 4h 10m of it in steps",
        "  best validation loss 1.1980, perplexity 3.31 at step 700",
        "  newest checkpoint checkpoint-750",
        "  exit code 0",
    ]


def test_everything_said_is_plain_ascii_on_a_plain_terminal(record: Recorder) -> None:
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding="ascii"), every=1)
    for event in (*OPENING, e.MessageLogged(level="WARNING", logger="lib", text="caf\u00e9 \U0001f600")):
        console(record(event))
    console.close()
    assert b"caf\\xe9 \\U0001f600" in raw.getvalue()


def test_for_scripts_the_stream_is_the_journal_and_nothing_else(rundir: RunDir, tmp_path: Path) -> None:
    out = (tmp_path / "out").open("w")
    bus = Bus(Journal.open(rundir.events), Clock())
    console = Console(out, json=True)
    bus.subscribe("console", console)
    for event in (
        *OPENING,
        step(1),
        step(2, loss=None),
        e.MessageLogged(level="ERROR", logger="l", text="\x1b \u202e"),
    ):
        bus.emit(event)
    console.close()
    bus.close()
    out.close()
    assert (tmp_path / "out").read_bytes() == rundir.events.read_bytes()


def test_a_terminal_that_is_closed_does_not_disturb_the_run(record: Recorder) -> None:
    master, slave = pty.openpty()
    terminal = os.fdopen(slave, "w")
    console = Console(terminal, every=1)
    console(record(step(1)))
    assert b"Step: 1" in os.read(master, 1000)
    os.close(master)
    for i in range(2, 50):
        console(record(step(i)))
        time.sleep(0.001)
    console._thread.join(5.0)
    assert not console._thread.is_alive(), "it has stopped writing"
    console(record(step(50)))
    console.close()
    with pytest.raises(OSError, match="Input/output"):
        os.write(slave, b"x")
    terminal.close()


def test_a_reader_that_went_away_does_not_disturb_the_run(record: Recorder) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = Console(stream, every=1)
        os.close(reader)
        for i in range(1, 20):
            console(record(step(i)))
        console.close()


def test_a_closed_stream_does_not_disturb_the_run(record: Recorder) -> None:
    stream = io.StringIO()
    stream.close()
    console = Console(stream)
    console(record(step(1)))
    console.close()


def test_a_terminal_that_nobody_reads_never_makes_the_run_wait(record: Recorder) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = Console(stream, every=1)
        start = time.monotonic()
        for i in range(1, 3000):
            console(record(step(i)))
        assert time.monotonic() - start < 5.0
        console.close(timeout_s=0.2)
        assert console._thread.is_alive(), "the pipe is full and its thread still hangs in it"
        drained = threading.Thread(
            target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")], daemon=True
        )
        drained.start()
        console._thread.join(5.0)
    drained.join(5.0)
    os.close(reader)


def drain(descriptor: int) -> None:
    while os.read(descriptor, 65536):
        pass


def test_training_log_has_the_same_lines_with_local_times(
    tmp_path: Path, record: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for attempt in (1, 2):
        log = LogFile(tmp_path / "training.log", every=10)
        for event in (*OPENING, step(10)):
            log(record(event, at=0.5 * attempt))
        log.close()
    monkeypatch.undo()
    time.tzset()
    text = (tmp_path / "training.log").read_text().splitlines()
    assert text[-1].startswith("2027-01-15 09:00:00  Progress: 1.3% | Loss: 2.145 | Step: 10")
    assert len([line for line in text if "Progress" in line]) == 2


def test_a_phase_ending_says_why(record: Recorder) -> None:
    (line,) = lines_of(
        record,
        e.PhaseChanged(old=Phase.MAIN, new=Phase.FINALIZE, trigger=Trigger.FINISH, step=9, reason=Reason.DEADLINE),
    )
    assert line == "Phase: main -> finalize: the window ends"
