from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiapp import format as fmt


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (59.6, "1m 00s"),
        (245, "4m 05s"),
        (3900, "1h 05m"),
        (183_600, "2d 03h"),
        (-65, "-1m 05s"),
    ],
)
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(45, "45s"), (240, "4m"), (3900, "1h05"), (7200, "2h"), (-90, "-2m")])
def test_a_brief_duration_fits_where_space_is_short(seconds: float, text: str) -> None:
    assert fmt.brief(seconds) == text


def test_a_timer_runs_in_hours_minutes_seconds() -> None:
    assert fmt.timer(22_370) == "06:12:50"
    assert fmt.timer(-5) == "-00:00:05"
    assert fmt.timer(None) == "--:--:--"


@pytest.mark.parametrize(
    ("count", "text"), [(512, "512 B"), (61.2 * 2**30, "61.2 GiB"), (812 * 2**20, "812 MiB"), (None, "-")]
)
def test_bytes_have_a_unit(count: float | None, text: str) -> None:
    assert fmt.bytes_(count) == text


@pytest.mark.parametrize(
    ("number", "text"), [(3, "3"), (940, "940"), (21_140, "21.1k"), (4_200_000, "4.20M"), (12_247_782_400, "12.2B")]
)
def test_a_large_number_keeps_three_figures(number: float, text: str) -> None:
    assert fmt.short(number) == text


def test_losses_rates_and_shares_read_as_in_the_field() -> None:
    assert fmt.loss(1.7302) == "1.730"
    assert fmt.rate(1.612e-4) == "1.61e-4"
    assert fmt.rate(0.0) == "0"
    assert fmt.perplexity(1.5) == "4.48"
    assert fmt.percent(0.5364) == "54%"
    assert fmt.signed(1023) == "+17m 03s"
    assert fmt.signed(-250) == "-4m 10s"


def test_a_time_of_another_day_names_the_day() -> None:
    assert fmt.moment(1_763_800_000.0, 1_763_800_000.0) == "08:26"
    assert fmt.moment(1_763_800_000.0 + 86_400, 1_763_800_000.0) == "Sun 08:26"


@given(st.floats(allow_nan=True, allow_infinity=True) | st.none())
def test_no_number_breaks_a_format(value: float | None) -> None:
    for form in (
        fmt.duration,
        fmt.brief,
        fmt.timer,
        fmt.short,
        fmt.loss,
        fmt.perplexity,
        fmt.rate,
        fmt.figure,
        fmt.percent,
    ):
        assert isinstance(form(value), str)
    for form in (fmt.duration, fmt.loss, fmt.rate):
        assert form(math.nan) == fmt.UNKNOWN
    assert isinstance(fmt.time_of_day(value), str)
    assert isinstance(fmt.moment(value, 0.0), str)
