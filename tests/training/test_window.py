"""The paid window: what `--hours` and `--deadline` mean, at a start and at a resume."""

from __future__ import annotations

import datetime as dt

import pytest

from configs.errors import UsageError
from engine.training.window import Window, continuing, opening, parse_deadline

NOON = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def test_hours_count_from_now() -> None:
    assert opening(hours=2.0, deadline=None, configured_hours=12.0, now=100.0) == Window(
        opened_wall=100.0, deadline_wall=7300.0
    )


def test_configured_hours_hold_where_nothing_is_asked() -> None:
    assert opening(hours=None, deadline=None, configured_hours=1.0, now=0.0).length_s == 3600.0


def test_without_time_constraints_there_is_no_deadline() -> None:
    assert opening(hours=None, deadline=None, configured_hours=None, now=0.0).deadline_wall is None


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_hours_that_are_no_window_are_refused(hours: float) -> None:
    with pytest.raises(UsageError, match="--hours"):
        opening(hours=hours, deadline=None, configured_hours=12.0, now=0.0)


def test_both_hours_and_a_deadline_are_refused() -> None:
    with pytest.raises(UsageError, match="one of them"):
        opening(hours=1.0, deadline="13:00", configured_hours=12.0, now=0.0)


def test_a_clock_time_is_the_next_one() -> None:
    assert parse_deadline("13:30", NOON) == (NOON + dt.timedelta(minutes=90)).timestamp()
    assert parse_deadline("11:00", NOON) == (NOON + dt.timedelta(hours=23)).timestamp()


def test_an_offset_is_respected() -> None:
    assert parse_deadline("2026-11-22T13:00+00:00", NOON) == dt.datetime(2026, 11, 22, 13, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "2026-13-01T00:00", "", "12"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_deadline(text, NOON)


def test_a_deadline_that_has_passed_is_refused() -> None:
    with pytest.raises(UsageError, match="passed"):
        parse_deadline("2026-11-22T11:00+01:00", NOON)


def test_a_resume_inside_the_window_keeps_it() -> None:
    before = Window(opened_wall=0.0, deadline_wall=1000.0)
    assert continuing(before, hours=None, deadline=None, now=500.0) == before


def test_a_resume_after_the_window_needs_a_new_one() -> None:
    before = Window(opened_wall=0.0, deadline_wall=1000.0)
    with pytest.raises(UsageError, match="needs a new one"):
        continuing(before, hours=None, deadline=None, now=1500.0)
    assert continuing(before, hours=1.0, deadline=None, now=1500.0) == Window(opened_wall=1500.0, deadline_wall=5100.0)
