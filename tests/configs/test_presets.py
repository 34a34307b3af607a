"""The two presets load as they are shipped, say what they set, and agree with the design."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from configs.jsonc import plain
from configs.load import PRESETS, demo_dir, load, preset_dir
from configs.profiles import PROFILES
from configs.schema import FILES, SECTIONS
from configs.suggest import keys


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_from_four_commented_files(name: str) -> None:
    load(preset_dir(name))
    for file in FILES.values():
        text = (preset_dir(name) / file).read_text(encoding="utf-8")
        assert plain(text) != text, f"{file} explains nothing"
        assert max(map(len, text.splitlines())) <= 120


def test_the_wayfarer_preset_states_and_explains_every_key() -> None:
    config = load(preset_dir("wayfarer-12b-h100"))
    left_out = {f"{section}.{key}" for section in SECTIONS for key in keys(section)} - config.source.keys()
    assert left_out == {"training.chat_template"}  # its tokenizer brings one
    assert config.training.conversations_per_step == 32
    assert (config.training.learning_rate, config.training.warmup_steps, config.training.num_train_epochs) == (
        3e-4,
        1000,
        3,
    )
    assert config.window_hours == 12
    assert config.wandb.mode == "online"


def test_the_balanced_profile_is_what_the_wayfarer_preset_states() -> None:
    training, profile = load(preset_dir("wayfarer-12b-h100")).training, PROFILES["balanced"]
    for key in ("per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "bin_tokens"):
        assert getattr(training, key) == getattr(profile, key)
    assert (profile.memory_gb, profile.tokens_per_second) == (60, 800)


def test_every_profile_keeps_the_step_and_fits_its_bins_and_the_card() -> None:
    assert list(PROFILES) == ["fast", "balanced", "quality", "memory_efficient"]
    for profile in PROFILES.values():
        assert profile.conversations_per_step == 32
        assert profile.max_length <= profile.bin_tokens
        assert profile.memory_gb < 80
    assert [profile.epochs(3) for profile in PROFILES.values()] == [2, 3, 4, 3]
    assert PROFILES["fast"].epochs(1) == 1


def test_the_demo_needs_no_network_no_account_and_no_gpu() -> None:
    config = load(demo_dir(), environment={"WANDB_MODE": "online"})
    assert config.wandb.mode == "disabled"
    assert config.training.device == "cpu"
    assert config.training.dataset == str(demo_dir() / "conversations.json")
    assert config.training.threads is not None  # repeats bit for bit only at a fixed thread count


def test_no_other_preset_exists() -> None:
    with pytest.raises(ConfigError, match="There is no preset"):
        preset_dir("../configs/demo")
