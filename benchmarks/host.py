"""Processor time of the training thread between the steps' arithmetic, and what a record of the journal costs.

    python benchmarks/host.py --out benchmarks/results/host-cpu.json

A real run of the demo's model in this process, from Setup to Finalize, one short conversation a step. Counted is the
training thread's own processor time of each turn of the loop (orders, step, telling it) less what is spent in forward,
backward, clipping, the optimizer (its `zero_grad` too), evaluations and checkpoints; and the time of the thread that
lays the coming steps' bins. Rounds of consecutive steps belong to an arm and to its control in turn, which do the same:
their ratio says what chance makes of the figure. The figure is the median over the arm's rounds of their medians. Then
the journal alone: records written, and written and told to the subscribers of a run, in alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from intervals import interval
from machine import machine
from subject import settings

from engine.run.bus import Bus, Clock
from engine.run.journal import Journal
from engine.training.choose import Choice, choose
from engine.training.main import run_engine
from states.events import StepCompleted
from states.reducer import reduce
from states.view import RunView

CONVERSATIONS = 16
STEPS_PER_ROUND = 24
RECORDS = 400
JOURNAL_ROUNDS = 20


@dataclass(slots=True)
class Ledger:
    """Seconds of the training thread by turn of the loop."""

    inside: float = 0.0
    """Arithmetic, evaluations and checkpoints of this turn."""
    depth: int = 0
    emitting: float = 0.0
    turns: list[float] = field(default_factory=list)
    emits: list[float] = field(default_factory=list)
    laid: list[float] = field(default_factory=list)
    """Seconds of the thread that lays bins, by step laid."""

    def arithmetic(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Counts the outermost call."""

        def counted(*args: Any, **rest: Any) -> Any:
            self.depth += 1
            began = time.thread_time()
            try:
                return function(*args, **rest)
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.inside += time.thread_time() - began

        return counted


def watch(ledger: Ledger) -> None:
    """Put the counters around what the loop calls."""
    import torch

    from engine.data import ahead
    from engine.training import evaluating, loop, saving, step

    for owner, name in (
        (step, "learn"),
        (step, "step_where"),
        (step, "drop_gradients"),
        (torch.nn.utils, "clip_grad_norm_"),
        (loop, "evaluate_now"),
        (loop, "save_now"),
        (evaluating, "save_now"),
        (saving, "save"),
    ):
        setattr(owner, name, ledger.arithmetic(getattr(owner, name)))
    one_step, obey, emit, lay = loop.one_step, loop.obey, Bus.emit, ahead._lay
    began = 0.0

    def turn(session: Any, trainer: Any) -> Any:
        nonlocal began
        began, ledger.inside, ledger.emitting = time.thread_time(), 0.0, 0.0
        return obey(session, trainer)

    def stepped(session: Any, trainer: Any) -> None:
        one_step(session, trainer)
        ledger.turns.append(time.thread_time() - began - ledger.inside)
        ledger.emits.append(ledger.emitting)

    def emitted(bus: Bus, event: Any) -> Any:
        started = time.thread_time()
        record = emit(bus, event)
        if isinstance(event, StepCompleted):
            ledger.emitting += time.thread_time() - started
        return record

    def laid(steps: Any, wanted: Any) -> Any:
        started = time.thread_time()
        bins = lay(steps, wanted)
        ledger.laid.append(time.thread_time() - started)
        return bins

    ahead._lay = laid
    loop.obey, loop.one_step, Bus.emit = turn, stepped, emitted  # type: ignore[method-assign, assignment]


def journal_round(folder: Path, number: int, *, told: bool) -> float:
    """Microseconds of processor time a record, with a subscriber that folds it where `told`."""
    bus = Bus(Journal.open(folder / f"journal-{number}-{told}"), Clock())
    view = RunView()

    def fold(record: Any) -> None:
        nonlocal view
        view = reduce(view, record)

    if told:
        bus.subscribe("fold", fold)
    began = time.thread_time()
    for index in range(RECORDS):
        bus.emit(
            StepCompleted(
                step=index,
                epoch=0.1,
                loss=2.5,
                lr=1e-4,
                grad_norm=0.7,
                tokens=8000,
                targets=4000,
                step_s=0.7,
                data_s=0.001,
            )
        )
    took = (time.thread_time() - began) / RECORDS
    bus.close()
    return 1e6 * took


def rounds(seconds: Sequence[float], middle: Callable[[Sequence[float]], float] = median) -> list[float]:
    """The middle of rounds of steps, the first of which warms up; the mean where steps are done several at once."""
    cuts = range(STEPS_PER_ROUND, len(seconds) - STEPS_PER_ROUND + 1, STEPS_PER_ROUND)
    return [middle(seconds[cut : cut + STEPS_PER_ROUND]) for cut in cuts]


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="of the arm, and as many of its control")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    before = machine()
    ledger = Ledger()
    watch(ledger)
    epochs = -(-(2 * chosen.rounds + 1) * STEPS_PER_ROUND // CONVERSATIONS)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run_engine(choose(Choice(config=settings(place, CONVERSATIONS, epochs=epochs))), quiet=True)
        outside = [1e3 * seconds for seconds in rounds(ledger.turns)]
        recorded = [1e6 * seconds for seconds in rounds(ledger.emits)]
        laid = [1e3 * seconds for seconds in rounds(ledger.laid, mean)]
        alone, folded = [], []
        for number in range(JOURNAL_ROUNDS):
            alone.append(journal_round(place, number, told=False))
            folded.append(journal_round(place, number, told=True))
    results = {
        "host_ms_per_step": interval(outside[::2]),
        "control": interval([b / a for a, b in zip(outside[::2], outside[1::2], strict=False)]),
        "bins_thread_ms_per_step": interval(laid),
        "step_record_in_the_run_us": interval(recorded),
        "journal_record_us": interval(alone),
        "journal_record_folded_us": interval(folded),
    }
    for name, found in results.items():
        print(f"{name:<28}{found.median:>9.3f}  95% [{found.low:.3f}, {found.high:.3f}]")
    if chosen.out is not None:
        report = {
            "command": "python benchmarks/host.py",
            "machine": before,
            "load_after": machine()["load"],
            "steps": len(ledger.turns),
            "steps_per_round": STEPS_PER_ROUND,
            "results": {name: asdict(found) for name, found in results.items()},
            "rounds_ms": outside,
        }
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
