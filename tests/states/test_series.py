"""A history that stays small: what it keeps is exact, what it merges adds up, what is rolled back is gone."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.series import CAPACITY, Series, append, rollback


def filled(values, *, start=0):
    series = Series()
    for step, value in enumerate(values, start):
        series = append(series, step, 1000.0 + step, value)
    return series


def test_short_histories_keep_every_sample():
    series = filled([3.0, 1.0, 2.0])
    assert [(b.first, b.last, b.last_wall, b.mean) for b in series.buckets] == [
        (0, 0, 1000.0, 3.0),
        (1, 1, 1001.0, 1.0),
        (2, 2, 1002.0, 2.0),
    ]
    assert len(series) == 3
    assert series.last == series.buckets[-1]


def test_an_empty_series_is_false_and_has_nothing():
    assert not Series()
    assert len(Series()) == 0
    assert Series().last is None
    assert Series().buckets == ()


@pytest.mark.parametrize("count", [CAPACITY, CAPACITY + 1, 2 * CAPACITY, 2 * CAPACITY + 1, 20_001])
def test_long_histories_are_merged_within_the_capacity_and_lose_no_sample(count):
    series = filled(float(step % 7) for step in range(count))
    buckets = series.buckets
    assert len(buckets) == len(series) <= CAPACITY
    assert len(buckets) > CAPACITY // 2 or count <= CAPACITY
    assert sum(bucket.count for bucket in buckets) == count
    assert math.isclose(sum(bucket.total for bucket in buckets), sum(step % 7 for step in range(count)))
    assert all(bucket.count == series.width for bucket in buckets[:-1])
    assert [bucket.first for bucket in buckets] == [number * series.width for number in range(len(buckets))]
    assert buckets[-1].last == count - 1
    assert buckets[-1].last_wall == 1000.0 + count - 1


def test_a_spike_survives_merging():
    values = [1.0] * 10_000
    values[5_003] = 99.0
    values[7_001] = -5.0
    buckets = filled(values).buckets
    assert max(bucket.high for bucket in buckets) == 99.0
    assert min(bucket.low for bucket in buckets) == -5.0
    (spike,) = (bucket for bucket in buckets if bucket.high == 99.0)
    assert spike.first <= 5_003 <= spike.last


def test_appending_leaves_the_older_version_as_it_was():
    older = filled(map(float, range(100)))
    before = older.buckets
    append(append(older, 100, 0.0, 1.0), 101, 0.0, 1.0)
    assert older.buckets == before


def test_several_samples_of_one_step_are_all_kept():
    series = append(append(Series(), 5, 1.0, 1.0), 5, 2.0, 3.0)
    assert [bucket.mean for bucket in series.buckets] == [1.0, 3.0]


def test_a_sample_out_of_order_is_left_out():
    series = filled([1.0, 2.0], start=10)
    assert append(series, 3, 0.0, 9.0) == series


@given(count=st.integers(0, 9_000), step=st.integers(-1, 9_100))
def test_after_a_rollback_nothing_later_is_left_and_everything_earlier_is_but_at_most_one_bucket(count, step):
    series = SERIES_BY_COUNT(count)
    rolled = rollback(series, step)
    assert all(bucket.last <= step for bucket in rolled.buckets)
    assert rolled.buckets == series.buckets[: len(rolled.buckets)]
    kept = sum(bucket.count for bucket in rolled.buckets)
    assert kept > min(count, step + 1) - series.width


@given(step=st.integers(0, 6_000), more=st.integers(1, 3_000))
def test_a_rolled_back_series_goes_on_within_its_capacity(step, more):
    series = rollback(SERIES_BY_COUNT(5_000), step)
    before = sum(bucket.count for bucket in series.buckets)
    start = min(step, 4_999) + 1
    for offset in range(more):
        series = append(series, start + offset, 0.0, 1.0)
    buckets = series.buckets
    assert len(buckets) <= CAPACITY
    assert sum(bucket.count for bucket in buckets) == before + more
    assert all(left.last < right.first for left, right in pairwise(buckets))


def _memoised():
    known: dict[int, Series] = {0: Series()}

    def upto(count: int) -> Series:
        nearest = max(start for start in known if start <= count)
        series = known[nearest]
        for step in range(nearest, count):
            series = append(series, step, 1000.0 + step, float(step))
            if (step + 1) % 500 == 0:
                known[step + 1] = series
        return series

    return upto


SERIES_BY_COUNT = _memoised()
