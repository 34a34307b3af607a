"""Reading values by their types: what was checked for one object is never taken on trust for a different one."""

from __future__ import annotations

import dataclasses

import pytest

from states.events import EvalCompleted, ExpertsSampled, StepCompleted
from states.shapes import Misfit, reader
from states.view import RunView, revised

STEP = StepCompleted(step=7, epoch=0.5, loss=1.25, lr=3e-4, grad_norm=0.1, tokens=9, targets=5, step_s=0.4, data_s=0.0)
EVAL = EvalCompleted(step=1, scope="full", loss=1.0, targets=1, eval_s=1.0, best=True, domains={"a": 1.0})
SAMPLE = {
    "step": 1,
    "source": "train",
    "window_steps": 1,
    "counts": [[1, 2]],
    "token_entropy": [0.5, None],
    "balance_loss": None,
    "domains": {"a": [1, 2]},
}


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        (STEP, {"loss": "low"}),
        (STEP, {"step": True}),
        (STEP, {"lr": None}),
        (EVAL, {"best": 1}),
        (EVAL, {"domains": {"a": "1.0"}}),
        (EVAL, {"domains": [1.0]}),
    ],
)
def test_a_wrong_value_is_found_however_many_right_ones_came_before(event, wrong):
    read, data = reader(type(event)), dataclasses.asdict(event)
    for _ in range(3):
        assert read(dict(data)) == event
        with pytest.raises(Misfit):
            read(data | wrong)
    assert read(data) == event


@pytest.mark.parametrize(
    "wrong", [{"counts": [[1, 2.0]]}, {"counts": [[True]]}, {"token_entropy": [None, "x"]}, {"domains": {"a": 3}}]
)
def test_values_inside_lists_are_checked_in_every_object(wrong):
    read = reader(ExpertsSampled)
    assert read(SAMPLE) == read(SAMPLE)
    assert read(SAMPLE).counts == ((1, 2),)
    with pytest.raises(Misfit):
        read(SAMPLE | wrong)


def test_reading_leaves_what_was_read_as_it_was():
    read = reader(ExpertsSampled)
    data = dict(SAMPLE)
    read(data), read(data)
    assert data == SAMPLE


def test_a_field_of_a_later_version_is_passed_over_every_time():
    read, data = reader(StepCompleted), dataclasses.asdict(STEP) | {"kind": "x", "phase_of_the_moon": "full"}
    assert [read(data) for _ in range(3)] == [STEP] * 3


def test_a_view_takes_no_field_it_does_not_have():
    view = revised(RunView(), seq=4, paused=True)
    assert view == dataclasses.replace(RunView(), seq=4, paused=True)
    with pytest.raises(TypeError, match="sequence"):
        revised(view, sequence=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.seq = 5
