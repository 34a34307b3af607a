"""What a run's Setup does with the audit: errors stop it before any tokenizer, warnings become notes of the journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import DataError
from configs.schema import Config, MoeConfig, SafetyConfig, TrainingConfig, WandbConfig
from engine.data.example import NO_TARGET, Example
from engine.data.prepare import prepare, read_sources
from engine.data.template import Renderer

MakeTokenizer = Callable[[str], Any]
GOOD = [{"text": f"Client: I worry about work, {n}.\nTherapist: What about it, {n}?"} for n in range(20)]


def config(path: Path, rows: list[dict[str, Any]], **training: Any) -> Config:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return Config(
        training=TrainingConfig(base_model="base", dataset=str(path), **training),
        moe=MoeConfig(),
        safety=SafetyConfig(),
        wandb=WandbConfig(),
    )


def test_an_error_in_the_words_stops_a_run_before_any_tokenizer(tmp_path: Path) -> None:
    flat = {
        "messages": [{"role": "user", "content": "Hi you"}, {"role": "assistant", "content": "Client: a\nTherapist: b"}]
    }
    path = tmp_path / "data.json"
    with pytest.raises(DataError) as caught:
        read_sources(config(path, [*GOOD, flat]))
    assert caught.value.exit_code == 3
    assert f"{path}: Turns that hold labelled words of both roles: 1 (row 21)." in caught.value.message
    assert f"dataset validate {path}" in caught.value.message


def test_an_error_in_the_labels_stops_a_run(
    tmp_path: Path, make_tokenizer: MakeTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Renderer.render_all

    def without_ends(self: Renderer, *arguments: Any) -> list[Example]:
        examples = original(self, *arguments)
        for example in examples:
            example.labels[np.isin(example.ids, list(self.ends))] = NO_TARGET
        return examples

    monkeypatch.setattr(Renderer, "render_all", without_ends)
    with pytest.raises(DataError, match=r"Replies whose end-of-turn token carries no label: 20 \(rows 1, "):
        prepare(config(tmp_path / "data.json", GOOD), make_tokenizer("mistral"))


def test_warnings_are_notes_without_anybodys_words(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    rows = [
        *GOOD,
        {"text": "Client: I worry about work, 3.\nTherapist: Hm."},
        {"text": "Client: Write to jane.roe@example.org.\nTherapist: As an AI language model, I cannot."},
    ]
    prepared = prepare(config(tmp_path / "data.json", rows), make_tokenizer("mistral"))
    told = " ".join(prepared.event().notes)
    for note in (
        "Leakage risk: conversations that repeat the prompt of an earlier one: 1 (row 21).",
        "Therapist turns of a single word: 1 (row 21).",
        "Turns with an e-mail address: 1 (row 22).",
        "Therapist turns that speak as an AI or refuse: 1 (row 22).",
    ):
        assert note in told
    assert "jane" not in told
    assert "example" not in told


def test_warnings_of_a_validation_file_say_that_they_are_its(tmp_path: Path) -> None:
    held = tmp_path / "held.json"
    held.write_text(json.dumps([{"text": "Client: I cannot sleep.\nTherapist: Hm."}]))
    sources = read_sources(config(tmp_path / "data.json", [*GOOD, GOOD[0]], validation_dataset=str(held)))
    assert any(note.startswith("Validation: Therapist turns of a single word: 1 (row 1).") for note in sources.notes)
    assert not any("Leakage risk" in note for note in sources.notes)


def test_sound_data_adds_no_note(tmp_path: Path, make_tokenizer: MakeTokenizer) -> None:
    assert prepare(config(tmp_path / "data.json", GOOD), make_tokenizer("chatml")).notes == (
        "Read 20 rows as labelled transcripts.",
    )
