"""A configuration survives being written down, and its hash tells another training from the same one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.identity import (
    LIVE,
    MATHEMATICS,
    adjusted,
    config_hash,
    differences,
    from_resolved,
    refreshed,
    resolved,
)
from configs.load import load, preset_dir
from configs.moe import MoeConfig
from configs.safety import SafetyConfig
from configs.schema import SECTIONS, Config
from configs.suggest import keys
from configs.training import TrainingConfig
from configs.wandb import WandbConfig

Write = Callable[..., Path]

NAME = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAME,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=8,
)


def some(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=True)


def whole(low: int = 1, high: int = 10_000) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def built(model: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    assert set(fields) == set(model.model_fields)
    return st.fixed_dictionaries({}, optional=fields).map(
        lambda chosen: model(**{"base_model": "a/b"} | chosen) if model is TrainingConfig else model(**chosen)
    )


CONFIGS = st.builds(
    Config,
    training=built(
        TrainingConfig,
        base_model=NAME, chat_template=st.none() | NAME, dataset=NAME, validation_dataset=st.none() | NAME,
        eval_fraction=some(0, 0.5), output_dir=NAME, num_train_epochs=whole(1, 1000),
        per_device_train_batch_size=whole(), gradient_accumulation_steps=whole(), learning_rate=some(0, 1),
        router_learning_rate=st.none() | some(0, 1), warmup_steps=whole(0), weight_decay=some(0, 1),
        adam_beta1=some(0, 0.999), adam_beta2=some(0, 0.999), adam_epsilon=some(0, 0.01), max_length=whole(32),
        bin_tokens=whole(32), eval_steps=whole(), save_total_limit=whole(), logging_steps=whole(),
        optimization_priority=st.sampled_from(["fast", "balanced", "quality", "memory_efficient"]),
        max_training_hours=some(0, 8760), gradient_checkpointing=st.booleans(), seed=whole(0, 2**63 - 1),
        threads=st.none() | whole(1, 4096), dtype=st.sampled_from(["auto", "float32", "bfloat16"]),
        device=st.sampled_from(["auto", "cpu", "cuda"]),
    ),
    moe=built(
        MoeConfig,
        adapter_mode=st.sampled_from(["moe", "lora"]), expert_mode=st.sampled_from(["shared_a", "private"]),
        num_experts=whole(1, 64), top_k=whole(1, 64), lora_rank=whole(1, 1024), lora_alpha=some(0, 65536),
        lora_dropout=st.just(0.0), load_balancing_weight=some(0, 10), load_balancing_ramp=some(0, 1),
        usage_ema_decay=some(0, 0.99), router_init=st.sampled_from(["prototypes", "normal"]),
        prototype_conversations=whole(), domain_source=st.just("auto"),
        domains=st.none() | st.lists(NAME, min_size=1, max_size=4).map(tuple),
    ),
    safety=built(
        SafetyConfig,
        max_training_hours=st.none() | some(0, 8760), checkpoint_interval_minutes=some(0, 10080),
        early_stopping_patience=whole(), max_grad_norm=some(0, 1e6), enable_time_constraints=st.booleans(),
        enable_early_stopping=st.booleans(), reserve_minutes=st.none() | some(0, 1000),
        on_finish=st.none() | st.lists(NAME, min_size=1, max_size=3).map(tuple),
        on_finish_timeout_s=some(0, 86400), max_rejected_steps=whole(),
    ),
    wandb=built(
        WandbConfig,
        project=NAME, entity=st.none() | NAME, name=st.none() | NAME, tags=st.lists(NAME, max_size=3).map(tuple),
        notes=st.none() | NAME, config=st.dictionaries(NAME, JSON, max_size=4),
        mode=st.sampled_from(["online", "offline", "disabled"]),
    ),
    source=st.dictionaries(NAME, NAME, max_size=3),
)  # fmt: skip


@given(CONFIGS)
def test_a_configuration_comes_back_from_its_record_exactly(config: Config) -> None:
    for text in (orjson.dumps(resolved(config)).decode(), json.dumps(resolved(config))):
        again = from_resolved(orjson.loads(text))
        assert again == config
        assert resolved(again) == resolved(config)
        assert config_hash(again) == config_hash(config)


@given(CONFIGS, CONFIGS)
def test_equal_hashes_mean_no_difference_and_the_other_way_round(one: Config, other: Config) -> None:
    assert (config_hash(one) == config_hash(other)) is (differences(one, other) == ())


def test_every_key_is_either_mathematics_or_live() -> None:
    everywhere = [f"{section}.{key}" for section in SECTIONS for key in keys(section)]
    assert sorted([*MATHEMATICS, *LIVE]) == sorted(everywhere)


@pytest.mark.parametrize(
    "change",
    ["learning_rate=1e-4", "num_train_epochs=2", "per_device_train_batch_size=2", "gradient_accumulation_steps=2",
     "max_length=512", "bin_tokens=4096", "seed=1", "threads=1", "dtype=float32", "top_k=1", "lora_rank=8",
     "max_grad_norm=2", "weight_decay=0", "adam_beta2=0.99", "base_model=c/d", "load_balancing_weight=0.05"],
)  # fmt: skip
def test_what_changes_a_step_changes_the_hash(change: str, write: Write) -> None:
    files = write()
    before, after = load(files), load(files, overrides=[change])
    assert config_hash(before) != config_hash(after)
    assert len(differences(before, after)) == 1


@pytest.mark.parametrize(
    "change",
    ["output_dir=x", "max_training_hours=1", "wandb.mode=offline", "wandb.config.a=1", 'on_finish=["true"]',
     "checkpoint_interval_minutes=5", "eval_steps=5", "logging_steps=1", "save_total_limit=2",
     "early_stopping_patience=9", "reserve_minutes=1", "gradient_checkpointing=true", "device=cpu"],
)  # fmt: skip
def test_where_when_and_how_long_do_not(change: str, write: Write) -> None:
    files = write()
    assert config_hash(load(files)) == config_hash(load(files, overrides=[change]))


def test_an_adjustment_is_checked_recorded_and_leaves_the_original_alone(write: Write) -> None:
    config = load(write(), hours=3.0)
    planned = adjusted(config, {"training.max_length": 1024, "safety.max_training_hours": 2.0}, by="plan")
    assert planned.training.max_length == 1024
    assert planned.training.max_training_hours == planned.safety.max_training_hours == planned.window_hours == 2
    assert planned.origin("training.max_length") == "plan"
    assert config.training.max_length == 2048
    for change in ({"training.max_length": 9000}, {"training.max_length": 1.5}, {"training.lengths": 1}):
        with pytest.raises(ConfigError, match=r"^plan"):
            adjusted(config, change, by="plan")


def test_a_resume_keeps_the_recorded_mathematics_and_takes_the_rest_from_this_start(write: Write) -> None:
    files = write()
    recorded = load(files, overrides=["learning_rate=1e-4", "eval_steps=7"])
    current = load(files, overrides=["learning_rate=2e-4", "eval_steps=9"], hours=2.0)
    config = refreshed(recorded, current)
    assert config_hash(config) == config_hash(recorded)
    assert (config.training.learning_rate, config.training.eval_steps, config.window_hours) == (1e-4, 9, 2)
    assert config.origin("training.learning_rate") == recorded.origin("training.learning_rate")
    assert config.origin("training.max_training_hours") == "--hours"


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data.pop("moe"), lambda data: data["training"].update(seed="x"), lambda data: data.update(extra=1),
     lambda data: data["training"].update(later_key=1)],
)  # fmt: skip
def test_a_spoiled_record_is_refused_by_name(spoil: Callable[[dict[str, Any]], object]) -> None:
    data = resolved(load(preset_dir("demo")))
    spoil(data)
    with pytest.raises(ConfigError, match=r"^config\.resolved\.json.*another version"):
        from_resolved(data)
    with pytest.raises(ConfigError, match="does not hold a configuration"):
        from_resolved([data])
