"""From a configuration to examples: what is counted, what is noted, and what is refused before any tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError, DataError
from configs.schema import Config, MoeConfig, SafetyConfig, TrainingConfig, WandbConfig
from engine.data.prepare import prepare, read_sources
from engine.data.stats import Spread

MakeTokenizer = Callable[[str], Any]


def rows(numbers: range, domain: str | None = None) -> list[dict[str, Any]]:
    return [
        {"text": f"Client: I keep worrying, {n}.\nTherapist: Tell me more, {n}."}
        | ({"domain": domain} if domain else {})
        for n in numbers
    ]


def write(path: Path, content: list[dict[str, Any]]) -> str:
    path.write_text(json.dumps({"conversations": content}), encoding="utf-8")
    return str(path)


def config(dataset: str, *, domains: tuple[str, ...] | None = None, **training: Any) -> Config:
    return Config(
        training=TrainingConfig(base_model="base", dataset=dataset, **training),
        moe=MoeConfig(domains=domains),
        safety=SafetyConfig(),
        wandb=WandbConfig(),
    )


def test_a_run_gets_both_sides_with_every_number_accounted_for(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    content = rows(range(40), "grief") + rows(range(40, 60), "anger") + rows(range(2))
    heard: list[tuple[str, int, int]] = []
    prepared = prepare(
        config(write(tmp_path / "data.json", content)),
        make_tokenizer("chatml"),
        lambda task, done, total: heard.append((task, done, total)),
    )
    assert prepared.domains == ("anger", "grief")
    assert {stage.name: stage.count for stage in prepared.stats.waterfall} == {
        "read": 62,
        "parsed": 62,
        "kept": 60,
        "examples": 60,
        "tokens": sum(each.tokens for each in prepared.train + prepared.validation),
        "targets": sum(each.targets for each in prepared.train + prepared.validation),
    }
    assert prepared.stats.train.domains == {"anger": 18, "grief": 36}
    assert prepared.stats.validation.domains == {"anger": 2, "grief": 4}
    assert sum(prepared.stats.train.domain_targets.values()) == prepared.stats.train.targets
    assert any("2 rows (61, 62) with the same turns" in note for note in prepared.notes)
    assert [heard[0], heard[-1]] == [("read dataset", 0, 1), ("tokenize", 60, 60)]
    event = prepared.event()
    assert (event.train_conversations, event.eval_conversations) == (54, 6)
    assert event.train_targets == prepared.stats.train.targets
    assert json.dumps(asdict(prepared.stats))


def test_the_same_configuration_prepares_the_same_examples(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    path = write(tmp_path / "data.json", rows(range(30), "grief"))
    one, two = (prepare(config(path), make_tokenizer("mistral")) for _ in range(2))
    assert [each.ids.tolist() for each in one.train] == [each.ids.tolist() for each in two.train]
    assert [each.conversation for each in one.validation] == [each.conversation for each in two.validation]
    assert one.digests == two.digests


def test_conversations_without_a_domain_are_counted_as_general(tmp_path: Path) -> None:
    mixed = read_sources(config(write(tmp_path / "mixed.json", rows(range(9), "grief") + rows(range(9, 20)))))
    assert mixed.domains == ("general", "grief")
    assert any('name no domain and count as "general"' in note for note in mixed.notes)
    plain = read_sources(config(write(tmp_path / "plain.json", rows(range(9)))))
    assert plain.domains == ("general",)
    assert not any("general" in note for note in plain.notes)


def test_prompts_of_a_given_validation_file_leave_training_and_are_reported(tmp_path: Path) -> None:
    data = write(tmp_path / "data.json", rows(range(20), "grief"))
    held = write(tmp_path / "held.json", rows(range(18, 25), "grief"))
    sources = read_sources(config(data, validation_dataset=held))
    assert (len(sources.train), len(sources.validation)) == (18, 7)
    assert any("Left out 2 training conversations" in note and "rows 19, 20" in note for note in sources.notes)
    with pytest.raises(DataError, match="nothing is left to train on"):
        read_sources(config(data, validation_dataset=data))


def test_a_configured_domain_that_no_conversation_has_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "data.json", rows(range(20), "grief"))
    with pytest.raises(ConfigError, match=r'moe\.domains names "greif" \(did you mean "grief"\?\)'):
        read_sources(config(path, domains=("greif",)))


def test_a_max_length_that_no_reply_fits_is_refused(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    system = {"role": "system", "content": "word " * 100}
    content = [
        {"messages": [system, {"role": "user", "content": f"a {n}"}, {"role": "assistant", "content": "b"}]}
        for n in range(9)
    ]
    path = write(tmp_path / "data.json", content)
    with pytest.raises(DataError, match="raise max_length"):
        prepare(config(path, max_length=32), make_tokenizer("chatml"))


def test_a_wrong_file_is_found_before_torch_or_transformers_are_imported() -> None:
    code = "import sys, engine.data.prepare; print({'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_percentiles_are_lengths_that_occur() -> None:
    spread = Spread.of([5, 1, 2, 4, 3])
    assert (spread.minimum, spread.p50, spread.p95, spread.maximum, spread.average) == (1, 3, 5, 5, 3.0)
    assert Spread.of([]).maximum == 0
