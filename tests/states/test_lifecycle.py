"""The lifecycle against a literal table: every phase, trigger, guard and reason, written out by hand."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from states.diagram import mermaid, page
from states.lifecycle import Change, Lifecycle, Rejected, legal
from states.phases import Phase, Reason, Trigger

SETUP, INIT, WARMUP, MAIN, FINALIZE, STOPPED = Phase
ADVANCE, PAUSE, UNPAUSE, FINISH, CANCEL, HURRY, CLOSE, FAIL = Trigger
TARGET, DEADLINE, EARLY_STOP, OPERATOR, SIGNAL, ERROR = Reason

EXPECTED = {
    # (phase, trigger): (condition over paused p, warmed_up w, restored r; next phase; paused afterwards), in order
    (SETUP, ADVANCE): [("always", INIT, False)],
    (SETUP, CANCEL): [("always", STOPPED, False)],
    (SETUP, FAIL): [("always", STOPPED, False)],
    (INIT, ADVANCE): [("w", MAIN, False), ("not w", WARMUP, False)],
    (INIT, FINISH): [("r", FINALIZE, False)],
    (INIT, CANCEL): [("always", STOPPED, False)],
    (INIT, FAIL): [("always", STOPPED, False)],
    (WARMUP, ADVANCE): [("w and not p", MAIN, False)],
    (WARMUP, PAUSE): [("not p", WARMUP, True)],
    (WARMUP, UNPAUSE): [("p", WARMUP, False)],
    (WARMUP, FINISH): [("always", FINALIZE, False)],
    (WARMUP, CANCEL): [("always", STOPPED, False)],
    (WARMUP, FAIL): [("always", STOPPED, False)],
    (MAIN, PAUSE): [("not p", MAIN, True)],
    (MAIN, UNPAUSE): [("p", MAIN, False)],
    (MAIN, FINISH): [("always", FINALIZE, False)],
    (MAIN, CANCEL): [("always", STOPPED, False)],
    (MAIN, FAIL): [("always", STOPPED, False)],
    (FINALIZE, HURRY): [("always", FINALIZE, False)],
    (FINALIZE, CLOSE): [("always", STOPPED, False)],
    (FINALIZE, FAIL): [("always", STOPPED, False)],
}
FITTING_REASONS = {
    ADVANCE: {None},
    PAUSE: {None},
    UNPAUSE: {None},
    FINISH: {TARGET, DEADLINE, EARLY_STOP, OPERATOR, SIGNAL},
    CANCEL: {OPERATOR, SIGNAL, DEADLINE},
    HURRY: {None},
    CLOSE: {None},
    FAIL: {ERROR},
}
CONDITIONS = {
    "always": lambda p, w, r: True,
    "w": lambda p, w, r: w,
    "not w": lambda p, w, r: not w,
    "w and not p": lambda p, w, r: w and not p,
    "p": lambda p, w, r: p,
    "not p": lambda p, w, r: not p,
    "r": lambda p, w, r: r,
}
ROUTES = {
    SETUP: [],
    INIT: [(ADVANCE, None)],
    WARMUP: [(ADVANCE, None), (ADVANCE, None)],
    MAIN: [(ADVANCE, None), (ADVANCE, None), (ADVANCE, None)],
    FINALIZE: [(ADVANCE, None), (ADVANCE, None), (FINISH, TARGET)],
    STOPPED: [(CANCEL, OPERATOR)],
}


class Run:
    """A lifecycle brought to a phase through its front door, with guards that can be set afterwards."""

    def __init__(self, phase: Phase, *, paused: bool = False, warm: bool = False, restored: bool = False) -> None:
        self.warm, self.restored = phase is MAIN, False
        self.changes: list[Change] = []
        self.life = Lifecycle(self.changes.append, warmed_up=lambda: self.warm, restored=lambda: self.restored)
        for trigger, reason in ROUTES[phase]:
            if self.life.phase is not phase:
                self.life.fire(trigger, reason)
        if paused:
            self.life.fire(PAUSE)
        assert self.life.phase is phase
        self.warm, self.restored = warm, restored
        self.changes.clear()


def possible(phase: Phase, paused: bool) -> bool:
    return not paused or phase in (WARMUP, MAIN)


CASES = [
    (phase, paused, warm, restored)
    for phase, paused, warm, restored in itertools.product(Phase, (False, True), (False, True), (False, True))
    if possible(phase, paused)
]


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize(("phase", "paused", "warm", "restored"), CASES)
def test_every_trigger_does_what_the_table_says_or_is_rejected_and_changes_nothing(
    phase, paused, warm, restored, trigger
):
    for reason in [None, *Reason]:
        run = Run(phase, paused=paused, warm=warm, restored=restored)
        before = (run.life.phase, run.life.paused, run.life.reason)
        arrows = [
            (new, hold)
            for condition, new, hold in EXPECTED.get((phase, trigger), [])
            if CONDITIONS[condition](paused, warm, restored) and reason in FITTING_REASONS[trigger]
        ]
        if not arrows:
            with pytest.raises(Rejected):
                run.life.fire(trigger, reason)
            assert (run.life.phase, run.life.paused, run.life.reason) == before
            assert run.changes == []
            continue
        run.life.fire(trigger, reason)
        new, hold = arrows[0]
        assert (run.life.phase, run.life.paused) == (new, hold)
        internal = trigger in (PAUSE, UNPAUSE, HURRY)
        assert run.changes == ([] if internal else [Change(phase, new, trigger, reason or before[2])])


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not STOPPED])
def test_every_phase_reaches_stopped(phase):
    seen, queue = {phase}, [phase]
    while queue:
        here = queue.pop()
        for (source, _), arrows in EXPECTED.items():
            if source is here:
                for _, new, _ in arrows:
                    if new not in seen:
                        seen.add(new)
                        queue.append(new)
    assert STOPPED in seen


def test_nothing_leaves_stopped():
    assert legal(STOPPED, False) == frozenset()


@pytest.mark.parametrize(("phase", "paused"), sorted({(phase, paused) for phase, paused, _, _ in CASES}))
@pytest.mark.parametrize("restored", [False, True])
def test_legal_names_exactly_the_triggers_that_work_once_warmed_up(phase, paused, restored):
    works = {
        trigger
        for trigger in Trigger
        if any(CONDITIONS[condition](paused, True, restored) for condition, _, _ in EXPECTED.get((phase, trigger), []))
    }
    assert legal(phase, paused, restored=restored) == works


def test_the_reason_for_leaving_training_is_kept_to_the_end():
    run = Run(MAIN)
    run.life.fire(FINISH, DEADLINE)
    run.life.fire(HURRY)
    run.life.fire(CLOSE)
    assert run.life.reason is DEADLINE
    assert [(change.new, change.reason) for change in run.changes] == [(FINALIZE, DEADLINE), (STOPPED, DEADLINE)]


def test_an_error_in_finalize_becomes_the_reason():
    run = Run(FINALIZE)
    run.life.fire(FAIL, ERROR)
    assert run.life.reason is ERROR


def test_a_rejection_says_what_was_not_possible_and_where():
    with pytest.raises(Rejected, match="pause is not possible in setup"):
        Run(SETUP).life.fire(PAUSE)
    with pytest.raises(Rejected, match="advance is not possible in warmup while paused"):
        Run(WARMUP, paused=True, warm=True).life.fire(ADVANCE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_exception_while_announcing_reaches_the_caller(error):
    def announce(change: Change) -> None:
        raise error

    life = Lifecycle(announce, warmed_up=lambda: False, restored=lambda: False)
    with pytest.raises(error):
        life.fire(ADVANCE)


def test_the_page_in_the_documentation_is_the_one_drawn_from_the_table():
    written = Path(__file__).parents[2] / "docs" / "lifecycle.md"
    assert written.read_text() == page(), "run: python -m states.diagram > docs/lifecycle.md"


def test_the_diagram_shows_every_arrow_and_no_other():
    drawn = set()
    for source, target, trigger in re.findall(r"(\w+) --> (\w+): (\w+)", mermaid()):
        drawn.add((Phase(source), Trigger(trigger), Phase(target)))
    assert drawn == {(source, trigger, new) for (source, trigger), arrows in EXPECTED.items() for _, new, _ in arrows}
