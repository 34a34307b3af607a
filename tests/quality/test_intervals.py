"""Intervals against published values, against their own definition, and where there is nothing to find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.quality.intervals import Z95, mean, permuted_ranges, share, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_both_ends_are_where_the_score_test_just_rejects(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    found = successes / n
    assert 0.0 <= low <= found <= high <= 1.0
    for end in (low, high):
        if 0.0 < end < 1.0:
            assert abs(found - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(Z95, rel=1e-6)
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share_has_no_interval(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(successes, n)


def test_nothing_has_no_share_and_no_mean() -> None:
    assert share(0, 0) is None
    assert mean([], seed=0) is None


def test_a_mean_of_equal_values_has_no_width_and_one_value_no_interval() -> None:
    equal = mean([0.25] * 8, seed=0)
    assert equal is not None
    assert (equal.value, equal.low, equal.high) == (0.25, 0.25, 0.25)
    one = mean([0.25], seed=0)
    assert one is not None
    assert (one.low, one.high) == (None, None)


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    hits = 0
    for number in range(300):
        found = mean(generator.normal(1.0, 2.0, 30).tolist(), seed=number, resamples=400)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 265 <= hits <= 297


def test_permuting_within_items_finds_a_planted_group_and_no_other() -> None:
    generator = np.random.default_rng(3)
    table = generator.normal(0.0, 0.1, (20, 4))
    before = table.mean(axis=0)
    assert (permuted_ranges(table, seed=0) >= before.max() - before.min()).mean() > 0.05
    table[:, 2] += 0.5
    after = table.mean(axis=0)
    assert (permuted_ranges(table, seed=0) >= after.max() - after.min()).mean() == 0.0
