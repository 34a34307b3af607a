"""The learning rate: the planned cosine with time to spare, the same curve ending in time without."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from states.schedule import Horizon, advance, begin, cool_down, learning_rate, remaining_steps

PEAK = 3e-4


def planned_rate(step: int, warmup: int, total: int) -> float:
    """The rate of the step after `step` completed ones, as the field writes it."""
    if step < warmup:
        return PEAK * ((step + 1) / warmup)
    return PEAK * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def run(horizon: Horizon, steps_left=None) -> list[tuple[float, Horizon]]:
    """Every step to the end of the horizon: the rate it used and the horizon before it."""
    taken = []
    while not horizon.done:
        taken.append((learning_rate(horizon, PEAK), horizon))
        planned_left = horizon.planned_steps - horizon.step
        horizon = advance(horizon, steps_left(horizon) if steps_left else planned_left)
    assert horizon.u == 1.0
    assert learning_rate(horizon, PEAK) == 0.0
    return taken


@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (7, 3), (40, 4), (750, 75), (750, 0), (10_000, 1_000)])
def test_with_time_to_spare_the_schedule_is_the_planned_one(total, warmup):
    rates = [rate for rate, _ in run(begin(total, warmup))]
    expected = [planned_rate(step, warmup, total) for step in range(total)]
    assert len(rates) == total
    assert max(abs(rate - want) for rate, want in zip(rates, expected, strict=True)) <= 1e-12 * PEAK


def test_after_warmup_it_is_the_schedule_of_transformers():
    torch = pytest.importorskip("torch")
    schedules = pytest.importorskip("transformers.optimization")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=PEAK)
    schedule = schedules.get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=20, num_training_steps=100)
    for step, (rate, _) in enumerate(run(begin(100, 20))):
        if step >= 20:
            assert rate == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        schedule.step()


def test_no_step_is_wasted_and_the_peak_is_reached():
    rates = [rate for rate, _ in run(begin(750, 75))]
    assert rates[0] == PEAK / 75
    assert rates[74] == rates[75] == PEAK
    assert 0 < rates[-1] < PEAK * 1e-5
    assert all(rate > 0 for rate in rates)


def test_a_warmup_longer_than_the_run_is_kept_as_a_manual_plan_asks():
    rates = [rate for rate, _ in run(begin(750, 1000))]
    assert rates == [PEAK * ((step + 1) / 1000) for step in range(750)]


def test_each_step_moves_u_by_its_share_of_what_is_left():
    horizon = begin(500, 50)
    left = 450
    for _ in range(50):
        horizon = advance(horizon, 500 - horizon.step)
    for _ in range(440):
        after = advance(horizon, left)
        assert after.u == pytest.approx(horizon.u + (1 - horizon.u) / left, abs=1e-12)
        horizon, left = after, left - 1


def test_when_time_runs_short_the_same_curve_ends_at_the_deadline():
    def slow_after_300(horizon: Horizon) -> int:
        return 750 - horizon.step if horizon.step < 300 else 500 - horizon.step

    taken = run(begin(750, 75), slow_after_300)
    rates = [rate for rate, _ in taken]
    assert len(rates) == 500
    assert rates[:300] == pytest.approx([planned_rate(step, 75, 750) for step in range(300)], rel=1e-12)
    assert abs(rates[300] - planned_rate(300, 75, 750)) < 1e-12
    assert all(before > after for before, after in pairwise(rates[300:]))
    assert rates[-1] < PEAK * 1e-3


def test_a_projection_within_two_percent_changes_nothing():
    horizon = begin(1000, 0)
    assert advance(horizon, 981).total_steps == 1000
    assert advance(horizon, 980).total_steps == 1000
    assert advance(horizon, 979).total_steps == 979


def test_time_won_back_lengthens_the_curve_again_but_never_beyond_the_plan():
    horizon = advance(begin(1000, 0), 500)
    assert horizon.total_steps == 500
    assert advance(horizon, 999).total_steps == 1000
    assert advance(horizon, 5_000).total_steps == 1000


def test_time_that_runs_short_in_warmup_leaves_half_of_it_for_the_cosine():
    taken = run(begin(1000, 100), lambda horizon: 80 - horizon.step)
    rates = [rate for rate, _ in taken]
    assert len(rates) == 80
    assert rates[:40] == [PEAK * ((step + 1) / 100) for step in range(40)]
    assert rates[40] == pytest.approx(PEAK * 0.4)
    assert all(before > after for before, after in pairwise(rates[40:]))


def test_a_bad_first_estimate_does_not_cost_the_warmup():
    def unsure(horizon: Horizon) -> int:
        return 60 if horizon.step < 3 else 1000 - horizon.step

    rates = [rate for rate, _ in run(begin(1000, 100), unsure)]
    assert rates[99] == PEAK
    assert len(rates) == 1000


@pytest.mark.parametrize("at", [0, 30, 99, 100, 400, 998])
@pytest.mark.parametrize("left", [1, 20])
def test_a_cool_down_falls_from_the_rate_it_finds_to_the_end(at, left):
    horizon = begin(1000, 100)
    reached = PEAK / 100
    for _ in range(at):
        reached = learning_rate(horizon, PEAK)
        horizon = advance(horizon, 1000 - horizon.step)
    taken = run(cool_down(horizon, left))
    assert len(taken) == min(left, 1000 - at)
    rates = [rate for rate, _ in taken]
    assert rates[0] == pytest.approx(reached if at < 100 else learning_rate(horizon, PEAK), rel=1e-12)
    assert all(one > other for one, other in pairwise(rates))


def test_a_cool_down_is_not_stretched_by_time_to_spare():
    cooling = cool_down(advance(begin(1000, 0), 1000), 50)
    assert advance(cooling, 900).total_steps == 51


@given(
    total=st.integers(1, 300),
    warmup=st.integers(0, 200),
    estimates=st.lists(st.integers(-5, 400), max_size=300),
    cool=st.none() | st.tuples(st.integers(0, 300), st.integers(-3, 60)),
)
def test_whatever_is_replanned_u_only_rises_and_ends_at_exactly_one(total, warmup, estimates, cool):
    horizon, last = begin(total, warmup), 0.0
    for count in range(total):
        if horizon.done:
            break
        if cool and count == cool[0]:
            horizon = cool_down(horizon, cool[1])
            if horizon.done:
                break
        assert 0.0 <= learning_rate(horizon, PEAK) <= PEAK
        assert last <= horizon.u < 1.0 + 1e-15
        last = horizon.u
        estimate = estimates[count] if count < len(estimates) else total
        horizon = advance(horizon, estimate)
        assert horizon.step < horizon.total_steps or horizon.done
        assert horizon.total_steps <= horizon.planned_steps <= total
    assert horizon.done
    assert horizon.u == 1.0


@given(
    total=st.integers(1, 500),
    warmup=st.integers(0, 100),
    estimates=st.lists(st.integers(1, 600), max_size=60),
    how=st.sampled_from(["orjson", "json"]),
)
def test_a_horizon_goes_on_bit_for_bit_from_its_json(total, warmup, estimates, how):
    horizon = begin(total, warmup)
    for estimate in estimates:
        horizon = advance(horizon, estimate)
    data = horizon.to_json()
    back = orjson.loads(orjson.dumps(data)) if how == "orjson" else json.loads(json.dumps(data))
    again = Horizon.from_json({**back, "of a later version": 1})
    assert again == horizon
    assert again.u.hex() == horizon.u.hex()
    assert learning_rate(again, PEAK).hex() == learning_rate(horizon, PEAK).hex()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((100, None, 0.0, 0.0, 2.0), 100),
        ((100, 1000.0, 100.0, 100.0, None), 100),
        ((100, 1000.0, 100.0, 100.0, 0.0), 100),
        ((100, 1000.0, 100.0, 100.0, 4.0), 100),
        ((100, 1000.0, 100.0, 100.0, 10.0), 80),
        ((100, 1000.0, 100.0, 100.0, 9.99), 80),
        ((100, 1000.0, 900.0, 200.0, 10.0), 1),
        ((100, math.inf, 0.0, 0.0, 10.0), 100),
        ((0, 1000.0, 0.0, 0.0, 10.0), 1),
    ],
)
def test_the_steps_left_are_what_the_plan_or_the_clock_allows_but_at_least_one(arguments, expected):
    assert remaining_steps(*arguments) == expected


def test_a_step_beyond_the_horizon_does_not_reopen_it():
    horizon = begin(10, 2)
    for _ in range(12):
        horizon = advance(horizon, 5)
    assert horizon.done
    assert horizon.total_steps <= 10
    assert learning_rate(horizon, PEAK) == 0.0
