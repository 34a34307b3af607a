"""The embedded demo keeps its promises: honest splits, a base that loads whole, and something left to learn."""

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs" / "demo"
BASE = DEMO / "base"
ROLES = {"Client": "user", "Therapist": "assistant"}
MEGABYTE = 1024 * 1024

Turns = list[tuple[str, str]]


def conversations(file: str) -> list[dict[str, str]]:
    """Return a split's rows."""
    return json.loads((DEMO / file).read_text(encoding="utf-8"))["conversations"]


def turns(row: dict[str, str]) -> Turns:
    """Return a row's (speaker, text) pairs."""
    pairs = (line.split(": ", 1) for line in row["text"].split("\n"))
    return [(speaker, text) for speaker, text in pairs]


def all_turns(file: str) -> set[str]:
    return {text for row in conversations(file) for _, text in turns(row)}


def messages(row: dict[str, str]) -> list[dict[str, str]]:
    """Return chat messages; a conversation that the therapist begins gets a neutral opening."""
    spoken = turns(row)
    opening = [("Client", "Hello.")] if spoken[0][0] == "Therapist" else []
    return [{"role": ROLES[speaker], "content": text} for speaker, text in opening + spoken]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE, local_files_only=True)


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, dict[str, Any]]:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        BASE, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )


def test_no_turn_stands_in_both_splits() -> None:
    assert not all_turns("conversations.json") & all_turns("validation.json")


def test_no_sentence_of_length_stands_in_both_splits() -> None:
    def sentences(file: str) -> set[str]:
        parts = (part.strip() for text in all_turns(file) for part in text.replace("?", ".").split("."))
        return {part for part in parts if len(part.split()) >= 8}

    assert not sentences("conversations.json") & sentences("validation.json")


@pytest.mark.parametrize(("file", "least"), [("conversations.json", 400), ("validation.json", 80)])
def test_a_split_is_large_enough_different_and_balanced(file: str, least: int) -> None:
    rows = conversations(file)
    assert len(rows) >= least
    assert len({row["text"] for row in rows}) == len(rows)
    domains = Counter(row["domain"] for row in rows)
    assert len(domains) == 4
    assert max(domains.values()) == min(domains.values())


@pytest.mark.parametrize("file", ["conversations.json", "validation.json"])
def test_every_conversation_alternates_and_the_therapist_answers_the_client(file: str) -> None:
    for row in conversations(file):
        speakers = [speaker for speaker, _ in turns(row)]
        assert set(speakers) == set(ROLES)
        assert all(before != after for before, after in itertools.pairwise(speakers))
        assert 4 <= len(speakers) <= 11
        assert ("Client", "Therapist") in itertools.pairwise(speakers)
        assert "{" not in row["text"]
        assert " #" not in row["text"]


def test_some_conversations_begin_with_the_therapist_as_in_the_documented_format() -> None:
    rows = conversations("conversations.json")
    share = sum(turns(row)[0][0] == "Therapist" for row in rows) / len(rows)
    assert 0.1 < share < 0.25


def test_the_written_fragments_assemble_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "configs.demo.make.conversations", "--output-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True, timeout=60)
    for file in ("conversations.json", "validation.json"):
        assert (tmp_path / file).read_bytes() == (DEMO / file).read_bytes()


def test_the_base_is_small() -> None:
    sizes = {path: path.stat().st_size for path in BASE.iterdir()}
    assert sum(sizes.values()) <= 8 * MEGABYTE
    assert all(size <= MEGABYTE for path, size in sizes.items() if path.suffix != ".safetensors")


def test_the_base_loads_with_every_key_accounted_for(loaded: tuple[Any, dict[str, Any]]) -> None:
    model, info = loaded
    assert model.config.model_type == "mistral"
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_no_conversation_is_longer_than_the_demo_trains_on(tokenizer: Any) -> None:
    rows = [row for file in ("conversations.json", "validation.json") for row in conversations(file)]
    texts = [tokenizer.apply_chat_template(messages(row), tokenize=False) for row in rows]
    assert max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]) <= 1024


def test_the_template_renders_turns_and_folds_a_system_text(tokenizer: Any) -> None:
    spoken = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}]
    system = [{"role": "system", "content": "Be kind."}]
    assert tokenizer.apply_chat_template(spoken, tokenize=False) == "<s>[INST] Hi. [/INST] Yes?</s>"
    prompt = tokenizer.apply_chat_template(system + spoken[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<s>[INST] Be kind.\n\nHi. [/INST]"


@pytest.mark.parametrize(
    "roles", [["assistant"], ["user", "user"], ["user", "assistant", "assistant"], ["user", "tool"]]
)
def test_the_template_raises_on_turns_that_do_not_alternate_from_the_user(tokenizer: Any, roles: list[str]) -> None:
    from jinja2.exceptions import TemplateError

    with pytest.raises(TemplateError):
        tokenizer.apply_chat_template([{"role": role, "content": "x"} for role in roles], tokenize=False)


def test_special_tokens_are_single_and_any_text_round_trips(tokenizer: Any) -> None:
    for token in ("<s>", "</s>", "<pad>", "[INST]", "[/INST]"):
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    text = "Na\u00efve caf\u00e9, 3 o'clock \u2014 \U0001f642\n\tdone"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_untrained_base_is_better_than_a_uniform_guess(loaded: tuple[Any, dict[str, Any]], tokenizer: Any) -> None:
    """Above ln V a fine-tune would 'gain' by undoing overconfidence; far below, nothing would be left to learn."""
    import torch

    model, _ = loaded
    total, num_targets = 0.0, 0
    for row in conversations("validation.json")[::4]:
        text = tokenizer.apply_chat_template(messages(row), tokenize=False)
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        begins = ids[0] == tokenizer.convert_tokens_to_ids("[/INST]")
        ends = ids[0] == tokenizer.eos_token_id
        spoken = (begins.cumsum(0) - begins.long()) > (ends.cumsum(0) - ends.long())
        with torch.no_grad():
            scores = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
        chosen = scores.gather(1, ids[0, 1:, None])[spoken[1:], 0]
        total, num_targets = total - chosen.sum().item(), num_targets + len(chosen)
    assert 4.0 < total / num_targets < math.log(model.config.vocab_size)
