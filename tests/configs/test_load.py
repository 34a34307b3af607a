"""The user's own files load, their mistakes are named in place, and the command line beats them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.checks import advice
from configs.errors import ConfigError
from configs.load import demo_dir, find, load, locate, preset_dir

Write = Callable[..., Path]

DOCUMENT = {
    "training": """{
  "base_model": "LatitudeGames/Wayfarer-2-12B",
  "num_train_epochs": 3,
  "per_device_train_batch_size": 4,
  "gradient_accumulation_steps": 8,
  "learning_rate": 3e-4,
  "warmup_steps": 1000,
  "optimization_priority": "balanced",
  "max_training_hours": 12.0
}""",
    "wandb": """{
  "project": "therapeutic-ai-training",
  "entity": "your-wandb-username",
  "name": "moe-training-run-1",
  "tags": ["moe", "h100", "lora", "therapeutic"],
  "notes": "Training run with balanced profile",
  "config": {
    "architecture": "moe",
    "num_experts": 4,
    "lora_rank": 16
  }
}""",
    "safety": """{
  "max_training_hours": 12.0,
  "checkpoint_interval_minutes": 30,
  "early_stopping_patience": 3,
  "max_grad_norm": 1.0,
  "enable_time_constraints": true,
  "enable_early_stopping": true
}""",
}


def training(body: str) -> str:
    return f'{{"base_model": "a/b",\n{body}}}'


def refusal(directory: Path, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_documents_own_files_load_as_they_are_printed(write: Write) -> None:
    config = load(write(**DOCUMENT))
    assert config.training.base_model == "LatitudeGames/Wayfarer-2-12B"
    assert config.training.conversations_per_step == 32
    assert config.training.learning_rate == 3e-4
    assert config.wandb.config == {"architecture": "moe", "num_experts": 4, "lora_rank": 16}
    assert config.wandb.mode == "online"
    assert config.window_hours == 12
    assert any("placeholder" in sentence for sentence in advice(config))


@pytest.mark.parametrize(
    ("section", "fragment"),
    [
        ("training", '"per_device_train_batch_size": 2, "gradient_accumulation_steps": 16'),
        ("training", '"optimization_priority": "memory_efficient"'),
        ("training", '"max_length": 1024'),
        ("training", '"learning_rate": 1e-4  // Try lower\n'),
        ("training", '"weight_decay": 0.001  // Lower from 0.01\n'),
        ("training", '"warmup_steps": 2000'),
        ("training", '"save_total_limit": 5'),
        ("moe", '"load_balancing_weight": 0.05  // Increase from 0.01\n'),
    ],
)
def test_every_remedy_of_the_document_is_accepted(section: str, fragment: str, write: Write) -> None:
    text = training(fragment) if section == "training" else f"{{{fragment}}}"
    load(write(**{section: text}))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('"learning_rate": -1', "training_config.json:2:18: `learning_rate` must be greater than 0, not -1."),
        ('"max_training_hours": 0', "training_config.json:2:23: `max_training_hours` must be greater than 0, not 0."),
        ('"learning_rate": "3e-4"', 'must be a number, not the text "3e-4". Remove the quotes.'),
        ('"seed": true', "`seed` must be a whole number, not true."),
        ('"num_train_epochs": 2.5', "must be a whole number, not 2.5."),
        ('"dataset": ["a.json"]', 'must be a text in double quotes, not ["a.json"].'),
        ('"dataset": ""', "training_config.json:2:12: `dataset` must not be empty."),
        ('"dataset": "a\\u0000b"', "one line without control characters"),
        ('"gradient_checkpointing": 1', "must be true or false, not 1."),
        ('"optimization_priority": "slow"', "one of 'fast', 'balanced', 'quality' or 'memory_efficient'"),
        ('"eval_fraction": 0.51', "`eval_fraction` must be at most 0.5, not 0.51."),
        ('"eval_fraction": 0', "`eval_fraction` must be greater than 0, not 0."),
        ('"router_learning_rate": 0.0', "`router_learning_rate` must be greater than 0"),
        ('"lr": 1e-4', "training_config.json:2:1: unknown key `lr`. Did you mean `learning_rate`?"),
        ('"max_grad_norm": 1', "That key belongs in safety_config.json."),
        ('"max_length": 9000', "training_config.json:2:15: max_length is 9000 and bin_tokens is 8192"),
        ('"bin_tokens": 1024', "training_config.json:2:15: max_length is 2048 and bin_tokens is 1024"),
    ],
)
def test_a_wrong_value_is_refused_in_place_and_in_plain_words(body: str, says: str, write: Write) -> None:
    assert says in refusal(write(training=training(body)))


@pytest.mark.parametrize(
    ("section", "text", "says"),
    [
        ("moe", '{"top_k": 5}', "moe_training_config.json:1:11: top_k is 5 and num_experts 4"),
        ("moe", '{"num_experts": 1}', "moe_training_config.json:1:17: top_k is 2 and num_experts 1"),
        (
            "moe",
            '{"lora_dropout": 0.05}',
            "moe_training_config.json:1:18: lora_dropout must be 0, not 0.05. Dropout would",
        ),
        ("moe", '{"domains": ["grief", "grief"]}', "the domain `grief` is listed twice"),
        ("safety", '{"on_finish": "poweroff"}', "must be a list in square brackets"),
        ("safety", '{"on_finish": ["a", 1]}', "safety_config.json:1:21: `on_finish[1]` must be a text"),
        ("safety", '{"reserve_minutes": 720}', "no time is left to train"),
        ("wandb", '{"tags": ["a", 1]}', "wandb_config.json:1:16: `tags[1]` must be a text"),
    ],
)
def test_a_rule_of_the_other_files_is_kept_too(section: str, text: str, says: str, write: Write) -> None:
    assert says in refusal(write(**{section: text}))


def test_all_complaints_arrive_at_once_and_a_flood_is_counted(write: Write) -> None:
    message = refusal(write(training='{"seed": -1, "threads": 0, "zzz": 1}', moe='{"top_k": 0, "lora_rank": 0}'))
    assert "`base_model` is missing" in message
    assert "`seed`" in message
    assert "`threads`" in message
    assert message.endswith("And 2 more.")


def test_a_data_set_named_as_a_configuration_is_refused_without_a_search_for_every_key(write: Write) -> None:
    rows = ", ".join(f'"row {number}": 1' for number in range(20_000))
    began = time.monotonic()
    message = refusal(write(training=f'{{"base_model": "a/b", {rows}}}'))
    assert "unknown key `row 0`" in message
    assert message.endswith("And 19996 more.")
    assert time.monotonic() - began < 5  # with a search for every key it takes half a minute


def test_absent_files_mean_defaults_and_an_absent_first_file_means_nothing_to_do(write: Write) -> None:
    config = load(write())
    assert (config.moe.num_experts, config.moe.top_k) == (4, 2)
    assert config.safety.early_stopping_patience == 3
    Path("training_config.json").unlink()
    assert "`run.py init .` writes a commented one" in refusal(Path())
    assert "is not a directory" in refusal(Path("nowhere"))


def test_a_schema_reference_for_editors_is_not_a_setting(write: Write) -> None:
    config = load(write(moe='{"$schema": "moe.schema.json"}'))
    assert not any("schema" in key for key in config.source)


def test_hours_that_differ_between_two_files_are_refused_naming_both(write: Write) -> None:
    files = write(training=training('"max_training_hours": 4'), safety='{"max_training_hours": 12}')
    message = refusal(files)
    assert "training_config.json:2:23 gives 4 hours" in message
    assert "safety_config.json:1:24 gives 12" in message
    for config in (load(files, hours=2.0), load(files, overrides=["max_training_hours=2"])):
        assert (config.training.max_training_hours, config.safety.max_training_hours) == (2, 2)
    assert "--hours gives 3" in refusal(files, hours=3.0, overrides=["max_training_hours=2"])


@pytest.mark.parametrize("section", ["training", "safety"])
def test_hours_stated_once_hold_everywhere(section: str, write: Write) -> None:
    stated = '"max_training_hours": 4'
    config = load(write(**{section: training(stated) if section == "training" else f"{{{stated}}}"}))
    assert (config.training.max_training_hours, config.safety.max_training_hours, config.window_hours) == (4, 4, 4)
    assert config.origin("training.max_training_hours") == config.origin("safety.max_training_hours") != "default"


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_hours_that_are_no_window_are_refused_by_the_flags_name(hours: float, write: Write) -> None:
    assert refusal(write(), hours=hours, hours_flag="--deadline").startswith("--deadline: `max_training_hours` must be")


def test_no_time_limit_means_no_window_unless_one_is_asked_for(write: Write) -> None:
    files = write(safety='{"enable_time_constraints": false}')
    assert load(files).window_hours is None
    assert load(files, hours=2.0).window_hours == 2


def test_inputs_resolve_where_they_were_stated_and_output_where_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "model").mkdir(parents=True)
    elsewhere.mkdir()
    text = '{"base_model": "model", "dataset": "d.json", "validation_dataset": "../v.json", "output_dir": "out"}'
    (project / "training_config.json").write_text(text)
    monkeypatch.chdir(elsewhere)
    stated = load(project).training
    assert stated.base_model == str(project / "model")
    assert stated.dataset == str(project / "d.json")
    assert stated.validation_dataset == str(tmp_path / "v.json")
    assert stated.output_dir == str(elsewhere / "out")
    typed = load(
        Path("../project"), dataset="d.json", base_model="model", overrides=["validation_dataset=v.json"]
    ).training
    assert typed.dataset == str(elsewhere / "d.json")
    assert typed.validation_dataset == str(elsewhere / "v.json")
    assert typed.base_model == "model"  # no such folder here: a hub id
    assert load(project, base_model="./model").training.base_model == str(elsewhere / "model")


def test_a_flag_with_a_wrong_value_is_named_as_a_flag(write: Write) -> None:
    assert refusal(write(), output_dir="").startswith("--output-dir: `output_dir` must not be empty")
    assert refusal(write(), base_model="a\udcffb").startswith(
        "--base-model: `base_model` must be a text in valid UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "variable", "mode"),
    [
        (None, "online", "disabled"),
        ("{}", "", "online"),
        ("{}", "offline", "offline"),
        ("{}", "dryrun", "offline"),
        ("{}", "nonsense", "online"),
        ('{"mode": "online"}', "offline", "offline"),
        ('{"mode": "disabled"}', "online", "disabled"),
    ],
)
def test_wandb_mode_in_the_environment_only_makes_it_quieter(
    text: str | None, variable: str, mode: str, write: Write
) -> None:
    files = write(**({} if text is None else {"wandb": text}))
    assert load(files, environment={"WANDB_MODE": variable}).wandb.mode == mode
    assert load(files, overrides=["wandb.mode=online"], environment={"WANDB_MODE": variable}).wandb.mode == "online"


def test_where_each_value_came_from_is_kept(write: Write) -> None:
    config = load(write(training=training('"seed": 1, "threads": 2')), overrides=["threads=3"], dataset="x.json")
    assert config.origin("training.seed") == "training_config.json:2:9"
    assert config.origin("training.threads") == "--set threads"
    assert config.origin("training.dataset") == "--dataset"
    assert config.origin("training.max_length") == "default"
    assert not config.is_stated("training.max_length")


def test_a_run_is_found_by_its_first_file_and_a_broken_link_is_not_overlooked(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    (tmp_path / "training_config.json").symlink_to(tmp_path / "gone.json")
    assert find(tmp_path) == tmp_path
    assert "cannot be read" in refusal(tmp_path)


def test_a_configuration_may_be_named_by_directory_file_or_preset(write: Write) -> None:
    write()
    assert locate("training_config.json") == Path()
    assert locate("demo") == demo_dir()
    Path("demo").mkdir()
    assert locate("demo") == Path("demo")
    with pytest.raises(ConfigError, match="presets are: demo, wayfarer-12b-h100"):
        preset_dir("wayfarer")


def test_loading_a_configuration_imports_nothing_heavy() -> None:
    program = (
        "import configs.load, configs.commands, sys\n"
        "print(*sorted({'torch', 'transformers', 'peft', 'wandb', 'numpy', 'textual'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
