"""`--set key=value` changes one value by the rules of a file, and complaints name the flag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.load import load
from configs.overrides import parse

Write = Callable[..., Path]


def test_a_key_is_named_in_full_or_alone(write: Write) -> None:
    config = load(write(), overrides=["training.learning_rate=1e-4", "top_k=1", 'tags=["a"]', "threads = 3"])
    assert config.training.learning_rate == 1e-4
    assert config.moe.top_k == 1
    assert config.wandb.tags == ("a",)
    assert config.training.threads == 3


def test_the_last_of_two_settings_of_one_key_holds(write: Write) -> None:
    assert load(write(), overrides=["seed=1", "training.seed=2"]).training.seed == 2


def test_what_is_no_json_is_a_text_and_what_wants_a_text_is_one(write: Write) -> None:
    config = load(write(), overrides=["dtype=float32", "name=1234", "notes=true", "entity=null", "project=a=b"])
    assert config.training.dtype == "float32"
    assert (config.wandb.name, config.wandb.notes, config.wandb.entity) == ("1234", "true", None)
    assert config.wandb.project == "a=b"


def test_the_free_part_of_wandb_takes_paths_and_leaves_the_rest_alone(write: Write) -> None:
    files = write(wandb='{"config": {"team": "blue", "site": {"rack": 1}}}')
    config = load(files, overrides=["wandb.config.site.row=2", "config.note=x"])
    assert config.wandb.config == {"team": "blue", "site": {"rack": 1, "row": 2}, "note": "x"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training.learning_rate", "--set training.learning_rate: write it as key=value"),
        ("=3", "write it as key=value"),
        ("learning_rate=abc", '--set learning_rate: `learning_rate` must be a number, not the text "abc".'),
        ("learning_rate=NaN", "must be a number"),
        ("learning_rate=", "must be a number"),
        ("seed=99999999999999999999999", "`seed` must be a whole number"),
        ("lr=1", "--set lr: unknown key `lr`. Did you mean `learning_rate`, in training_config.json?"),
        ("moe.learning_rate=1", "That key belongs in training_config.json."),
        ("nothing.at.all=1", "unknown key `nothing.at.all`"),
        ("training.=1", "unknown key"),
        ("seed.x=1", "`seed` has no parts to set"),
        ("config.=1", "no parts to set"),
        ("config.team.x=1", "`team` is not an object"),
        ("moe.top_k=9", "--set moe.top_k: top_k is 9 and num_experts 4"),
    ],
)
def test_a_mistake_names_the_flag(text: str, says: str, write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(wandb='{"config": {"team": "blue"}}'), overrides=[text])
    assert caught.value.message.startswith("--set ")
    assert says in caught.value.message


@given(st.text())
def test_any_text_is_either_a_setting_or_a_refusal(text: str) -> None:
    try:
        flag = parse(text).flag
    except ConfigError as error:
        flag = error.message
    assert flag.startswith("--set")
