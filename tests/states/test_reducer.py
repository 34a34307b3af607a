"""Folding a journal: the same view live and in replay, whatever the order, bounded for ever."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from states.codec import decode, encode
from states.events import (
    ClientAttached,
    ClientDetached,
    CommandApplied,
    CommandRejected,
    DeadlineReplanned,
    Record,
    RunPaused,
    RunRestored,
    RunUnpaused,
    SinkDisabled,
    Unknown,
)
from states.phases import Phase, Reason
from states.reducer import CONTROLS, EMPTY, VIEWERS, fold, reduce
from states.series import CAPACITY
from states.training import KEPT
from states.view import FEED_LENGTH, RECENT
from tests.states.told import evaluated, journal, opened, phase, planned, received, saved, step, steps, view_of

RECORDS = st.lists(st.from_type(Record), max_size=40)


@settings(max_examples=200)
@given(RECORDS)
def test_no_order_of_legal_records_ever_raises(records):
    view = fold(records)
    assert view.seq == (records[-1].seq if records else -1)
    assert view.wall == (records[-1].wall if records else 0.0)


@given(RECORDS, st.integers(0, 40))
def test_folding_the_rest_onto_a_prefix_is_folding_the_whole(records, cut):
    assert repr(fold(records[cut:], fold(records[:cut]))) == repr(fold(records))


@given(RECORDS)
def test_folding_is_reducing_one_by_one(records):
    view = EMPTY
    for record in records:
        view = reduce(view, record)
    assert repr(view) == repr(fold(records))


@given(RECORDS)
def test_a_replay_shows_what_was_live(records):
    lines = [encode(record) for record in records]
    assert repr(fold(map(decode, lines))) == repr(fold(records))


def test_a_view_never_changes_once_made():
    before = view_of(opened(), planned(), *steps(1, 50), evaluated(50, 1.0, best=True), saved(50))
    shown = repr(before)
    fold(
        journal(
            *steps(51, 90), evaluated(60, 0.5, best=True), RunRestored(checkpoint="c", step=20, tokens=1, trained_s=1)
        ),
        before,
    )
    assert repr(before) == shown


def test_a_day_of_steps_folds_in_seconds():
    records = journal(*(step(number) for number in range(1, 3_001)))
    best = math.inf
    for _ in range(3):
        began = time.process_time()
        fold(records)
        best = min(best, time.process_time() - began)
    # 90,000 a second where this was written; a quadratic history would fall below any bound.
    assert len(records) / best > 4_000


def test_everything_stays_bounded_however_long_the_journal():
    events = []
    for number in range(1, 3 * KEPT):
        events += [
            step(number),
            evaluated(number, 1.0),
            saved(number),
            received(f"c{number}"),
            ClientAttached(pid=number, uid=0),
            SinkDisabled(sink=f"s{number}", error="x"),
        ]
    view = view_of(*events)
    assert len(view.evaluations) == len(view.checkpoints) == KEPT
    assert view.evaluations[-1].step == view.checkpoints[-1].step == 3 * KEPT - 1
    assert len(view.feed) == FEED_LENGTH
    assert len(view.controls) == CONTROLS
    assert len(view.viewers) == len(view.disabled_sinks) == VIEWERS
    assert len(view.loss) <= CAPACITY
    assert len(view.progress.recent) == RECENT


def test_a_pause_is_seen_and_its_seconds_are_added_up():
    view = view_of(phase(Phase.INIT, Phase.MAIN), RunPaused(step=1), RunPaused(step=1))
    assert view.paused
    assert view.paused_since == 1001.0
    view = fold(journal(RunUnpaused(step=1, paused_s=7.5), RunUnpaused(step=1, paused_s=7.5)), view)
    assert not view.paused
    assert view.paused_since is None
    assert view.progress.paused_s == 7.5


def test_leaving_training_ends_a_pause():
    view = view_of(RunPaused(step=1), step(2), phase(Phase.MAIN, Phase.FINALIZE, reason=Reason.OPERATOR))
    assert not view.paused
    assert view.progress.paused_s == 2.0
    assert view.reason is Reason.OPERATOR


def test_phases_and_when_they_were_entered():
    view = view_of(opened(), phase(Phase.SETUP, Phase.INIT), phase(Phase.INIT, Phase.WARMUP))
    assert view.phase is Phase.WARMUP
    assert view.phase_walls == {"setup": 1000.0, "init": 1001.0, "warmup": 1002.0}
    assert view.phase_since == view.wall == 1002.0


def test_the_plan_follows_the_horizon_and_remembers_what_was_first_planned():
    replanned = DeadlineReplanned(step=5, planned_steps=80, step_s=1.0, remaining_s=100.0, why="steps are slower")
    view = view_of(planned(100), planned(90), replanned)
    assert (view.plan.planned_steps, view.plan.original_steps) == (80, 100)
    assert view_of(replanned).plan is None


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (CommandApplied(id="1", command="pause", step=3, detail="done"), "applied"),
        (CommandRejected(id="1", command="pause", reason="already paused"), "rejected"),
        (CommandRejected(id="1", command="pause", reason="expired: the run ended first"), "expired"),
    ],
)
def test_a_command_is_accepted_and_then_answered(answer, state):
    view = view_of(received("1", "pause"), received("2"))
    assert [(c.id, c.state, c.via) for c in view.controls] == [("1", "accepted", "socket"), ("2", "accepted", "socket")]
    assert [c.state for c in fold(journal(answer), view).controls] == [state, "accepted"]


def test_viewers_come_and_go():
    view = view_of(ClientAttached(pid=1, uid=0), ClientAttached(pid=2, uid=0), ClientAttached(pid=1, uid=0))
    assert sorted(view.viewers) == [1, 2]
    assert fold(journal(ClientDetached(pid=1, uid=0), ClientDetached(pid=5, uid=0)), view).viewers == (2,)


def test_records_of_a_later_version_are_counted_and_otherwise_ignored():
    assert view_of(Unknown("moon.landed", {}), Unknown("x", {"a": 1})).unknown == 2
