"""Early stopping: only a strictly lower loss is progress."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from states.patience import Patience

LOSSES = st.lists(st.none() | st.floats() | st.sampled_from([1.0, 2.0]), max_size=20)


def after(losses, limit=3):
    patience = Patience(limit=limit)
    for number, loss in enumerate(losses, 1):
        patience = patience.after(loss, number * 100)
    return patience


def test_three_evaluations_without_improvement_exhaust_a_patience_of_three():
    assert not after([2.0, 1.5, 1.6, 1.7]).exhausted
    exhausted = after([2.0, 1.5, 1.6, 1.7, 1.5])
    assert exhausted.exhausted
    assert (exhausted.best_loss, exhausted.best_step, exhausted.bad, exhausted.last_loss) == (1.5, 200, 3, 1.5)


def test_an_equal_loss_is_no_improvement():
    assert after([1.0, 1.0]).bad == 1


def test_an_improvement_gives_all_patience_back():
    patience = after([2.0, 2.1, 2.2, 1.9])
    assert patience.bad == 0
    assert patience.best_step == 400


def test_a_loss_that_is_no_number_is_no_improvement():
    patience = after([None, math.nan, math.inf])
    assert patience.exhausted
    assert patience.best_loss is None
    assert patience.last_loss is None
    assert after([-math.inf]).best_loss is None


@given(LOSSES, st.integers(1, 5))
def test_patience_ends_exactly_when_the_last_losses_did_not_beat_the_best(losses, limit):
    patience = after(losses, limit)
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    assert patience.best_loss == min(finite, default=None)
    first_best = losses.index(patience.best_loss) + 1 if finite else 0
    assert patience.bad == len(losses) - first_best
    assert patience.exhausted == (patience.bad >= limit)
    assert patience.best_step == (first_best * 100 if finite else None)


@given(LOSSES)
def test_patience_goes_on_from_its_json(losses):
    patience = after(losses)
    again = Patience.from_json({**json.loads(json.dumps(patience.to_json())), "of a later version": 1})
    assert again == patience
