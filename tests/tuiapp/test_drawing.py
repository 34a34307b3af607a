from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from states.series import Series, append
from tuiapp import axis, ink
from tuiapp.glyphs import ASCII, UNICODE, choose
from tuiapp.meter import bar, spark
from tuiapp.plot import Area, Dots, by_step, columns


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6), most=st.integers(1, 12))
def test_ticks_are_few_ordered_and_inside(low: float, span: float, most: int) -> None:
    ticks = axis.ticks(low, low + span, most)
    assert len(ticks) <= most + 1
    assert ticks == sorted(ticks)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    assert len(axis.labels(ticks)) == len(ticks)


def test_ticks_are_round_and_their_labels_tell_them_apart() -> None:
    assert axis.labels(axis.ticks(1.21, 2.63, 6)) == ["1.25", "1.50", "1.75", "2.00", "2.25", "2.50"]
    assert axis.labels(axis.ticks(0.0, 3e-4, 3)) == ["0", "1e-4", "2e-4", "3e-4"]
    assert [axis.step_label(tick) for tick in axis.step_ticks(1, 34_000, 4)] == ["10k", "20k", "30k"]


def test_time_ticks_fall_on_clock_intervals() -> None:
    assert axis.time_ticks(0, 43_200, 4) == [0, 10_800, 21_600, 32_400, 43_200]
    assert len(axis.time_ticks(0, 1e8, 5)) <= 6


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.integers(2, 200))
def test_columns_keep_every_extreme(values: list[float], size: int) -> None:
    series = Series()
    for step, value in enumerate(values):
        series = append(series, step, float(step), value)
    area = Area(left=0, right=max(1, len(values) - 1), bottom=-1e3, top=1e3)
    found = [column for column in columns(by_step(series.buckets), area, size) if column]
    assert min(column[0] for column in found) == min(values)
    assert max(column[1] for column in found) == max(values)


def test_a_line_has_no_gaps_and_stays_in_its_grid() -> None:
    dots = Dots(10, 5, braille=True)
    series = Series()
    for step, value in enumerate([0.0, 100.0, -50.0, 3.0]):
        series = append(series, step, 0.0, value)
    area = Area(left=0, right=3, bottom=-50, top=100)
    dots.line(columns(by_step(series.buckets), area, dots.width), area, thick=True)
    assert all(any(row[x] for row in dots.cells) for x in range(10))


def test_a_bar_is_as_wide_as_asked_and_as_full_as_told() -> None:
    for glyphs in (UNICODE, ASCII):
        for share in (None, -1.0, 0.0, 0.31, 1.0, 7.0):
            assert ink.cells(bar(share, 20, ink.NOTE, glyphs)) == 20
    assert "".join(part.text for part in bar(0.5, 4, ink.NOTE, ASCII)) == "==.."


def test_a_trembling_value_is_a_calm_sparkline() -> None:
    calm = spark([100.0, 101.0, 99.0, 100.0], 4, ink.SPEED, UNICODE)
    wild = spark([100.0, 10.0, 99.0, 50.0], 4, ink.SPEED, UNICODE)
    assert len(set(calm[0].text)) <= 2
    assert len(set(wild[0].text)) >= 3


@given(st.text(max_size=80), st.integers(0, 60))
def test_a_fitted_row_is_exactly_as_wide_as_asked(text: str, width: int) -> None:
    row = ink.fit(ink.say((text, ink.PLAIN), (text, ink.BRIGHT)), width)
    assert ink.cells(row) == width
    assert cell_len(ink.clip(ink.inert(text), width)) <= width


@given(st.text(max_size=60))
def test_no_text_reaches_a_row_with_control_or_direction_characters(text: str) -> None:
    for segment in ink.say((text + "\x1b[31m\x07\u202e\ud800", ink.PLAIN)):
        assert not ink.HOSTILE.search(segment.text)


def test_a_wrapped_text_loses_nothing_but_what_it_marks_as_cut() -> None:
    rows = ink.wrap("one two three four five six", 10, ink.PLAIN, most=9)
    assert ["".join(part.text for part in row) for row in rows] == ["one two", "three four", "five six"]
    cut = ink.wrap("one two three four five six", 10, ink.PLAIN, most=2)
    assert cut[-1][0].text.endswith("~")


@pytest.mark.parametrize(
    ("environ", "encoding", "braille"),
    [
        ({"TERM": "xterm-256color"}, "utf-8", True),
        ({"TERM": "linux"}, "utf-8", False),
        ({"TERM": "xterm"}, "iso-8859-1", False),
        ({"TERM": "xterm", "STINT_ASCII": "1"}, "UTF-8", False),
        ({"TERM": "xterm"}, None, False),
    ],
)
def test_a_terminal_without_unicode_gets_plain_characters(
    environ: dict[str, str], encoding: str | None, braille: bool
) -> None:
    assert choose(environ, encoding).braille is braille


def test_the_plain_set_is_plain() -> None:
    for name in ASCII.__dataclass_fields__:
        value = getattr(ASCII, name)
        assert value is False or value.isascii(), name
