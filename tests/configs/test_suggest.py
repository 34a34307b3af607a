"""An unknown key leads to the one that was meant."""

from __future__ import annotations

import pytest

from configs.schema import SECTIONS
from configs.suggest import ABSENT, NEIGHBOURS, homes, keys, suggest


@pytest.mark.parametrize(
    ("key", "section", "meant"),
    [
        ("learning_rat", "training", "Did you mean `learning_rate`?"),
        ("learningRate", "training", "Did you mean `learning_rate`?"),
        ("LEARNING-RATE", "training", "Did you mean `learning_rate`?"),
        ("lr", "training", "Did you mean `learning_rate`?"),
        ("r", "moe", "Did you mean `lora_rank`?"),
        ("rank", "training", "Did you mean `lora_rank`, in moe_training_config.json?"),
        ("max_seq_lenght", "training", "Did you mean `max_length`?"),
        ("cutoff_len", "training", "Did you mean `max_length`?"),
        ("sequence_len", "training", "Did you mean `max_length`?"),
        ("micro_batch_size", "training", "Did you mean `per_device_train_batch_size`?"),
        ("num_epochs", "training", "Did you mean `num_train_epochs`?"),
        ("val_set_size", "training", "Did you mean `eval_fraction`?"),
        ("num_experts_per_tok", "moe", "Did you mean `top_k`?"),
        ("hours", "safety", "Did you mean `max_training_hours`?"),
        ("max_grad_norm", "training", "That key belongs in safety_config.json."),
        ("max_training_hours", "wandb", "That key belongs in training_config.json or safety_config.json."),
        ("optim", "training", "The optimizer is always AdamW."),
        ("qqqq", "moe", "`run.py config schema moe_training_config.json` lists every key."),
        ("qqqq", None, "`run.py config schema` lists every key."),
    ],
)
def test_the_meant_key_is_named(key: str, section: str | None, meant: str) -> None:
    assert suggest(key, section) == meant


def test_every_alias_leads_to_a_key_that_exists_and_none_hides_one() -> None:
    assert [meant for meant in NEIGHBOURS.values() if not homes(meant)] == []
    assert [alias for alias in (*NEIGHBOURS, *ABSENT) if homes(alias)] == []


def test_only_the_window_is_stated_in_two_files() -> None:
    everywhere = [key for section in SECTIONS for key in keys(section)]
    assert {key for key in everywhere if everywhere.count(key) > 1} == {"max_training_hours"}
