"""trainer_state.json is read by other tools, and gives our own state back exactly."""

from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.errors import CheckpointInvalid
from engine.checkpoint.trainer_state import NAME, TrainerState, encode, read_trainer_state, write_trainer_state

STATE = TrainerState(
    global_step=230,
    epoch=1.0222222222222221,
    max_steps=675,
    num_train_epochs=3,
    logging_steps=10,
    eval_steps=67,
    save_steps=0,
    train_batch_size=4,
    num_input_tokens_seen=3_680_000,
    best_metric=1.4123456789012345,
    best_global_step=201,
    best_model_checkpoint="checkpoint-201",
    log_history=({"step": 10, "epoch": 0.04, "loss": 2.1}, {"step": 67, "epoch": 0.3, "eval_loss": 1.9}),
    stint={"u": 0.1 + 0.2, "patience": {"bad": 0, "best": None}, "seq": 2**53},
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_it_survives_the_file_exactly(tmp_path):
    write_trainer_state(STATE, tmp_path / NAME)
    assert read_trainer_state(tmp_path / NAME) == STATE


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), JSON, max_size=4))
def test_our_own_state_comes_back_bit_for_bit(tmp_path_factory, stint):
    state = TrainerState(**{**{name: getattr(STATE, name) for name in STATE.__slots__}, "stint": stint})
    path = tmp_path_factory.mktemp("state") / NAME
    write_trainer_state(state, path)
    assert repr(read_trainer_state(path).stint) == repr(stint)


def test_transformers_reads_it(tmp_path):
    from transformers.trainer_callback import TrainerState as TheirState

    write_trainer_state(STATE, tmp_path / NAME)
    body = orjson.loads((tmp_path / NAME).read_bytes())
    body.pop("stint")
    theirs = TheirState(**body)
    assert (theirs.global_step, theirs.best_metric, theirs.log_history[1]["eval_loss"]) == (230, STATE.best_metric, 1.9)
    assert set(TheirState.__dataclass_fields__) == set(body), "every field of theirs, no other"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {"a": [math.nan]}, {"a": object()}])
def test_what_json_would_change_in_silence_is_refused(value):
    broken = TrainerState(**{**{name: getattr(STATE, name) for name in STATE.__slots__}, "stint": {"horizon": value}})
    with pytest.raises((ValueError, TypeError), match=r"stint\.horizon"):
        encode(broken)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"global_step": "230"}, "global_step must be int"),
        ({"epoch": 1}, "epoch must be float"),
        ({"log_history": [1]}, "log_history"),
        ({"stint": None}, "stint"),
        ({"best_global_step": True}, "best_global_step"),
    ],
)
def test_a_state_of_another_program_is_refused(tmp_path, change, said):
    body = orjson.loads(encode(STATE)) | change
    (tmp_path / NAME).write_bytes(orjson.dumps(body))
    with pytest.raises(CheckpointInvalid, match=said):
        read_trainer_state(tmp_path / NAME)


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json"])
def test_rubbish_is_refused(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(CheckpointInvalid, match="trainer state"):
        read_trainer_state(tmp_path / NAME)
