"""Each fault that ids and labels can have, planted in examples: found by name, with its row; and none where none is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.data.audit import TokenAudit
from engine.data.checks.finding import Ledger
from engine.data.checks.losses import check_losses
from engine.data.checks.masking import Habits, check_tokenizer, runs
from engine.data.conversation import Conversation
from engine.data.example import NO_TARGET, Example
from engine.data.template import Renderer

Talk = Callable[..., Conversation]
MakeTokenizer = Callable[[str], Any]
TURNS = (
    "C: I keep worrying about my work and I cannot sleep at night.",
    "T: What goes through your mind when you lie awake?",
    "C: My sister and I have not spoken since our mother died. \U0001f56f",
    "T: That sounds very lonely, h\u00e9las. Would you like to tell me more about her?",
)


def audit(tokenizer: Any, renderer: Renderer, conversation: Conversation, examples: list[Example]) -> Ledger:
    ledger = Ledger()
    watcher = TokenAudit(Habits.of(tokenizer, renderer), ledger, 1)
    watcher.see([conversation], examples)
    watcher.close()
    assert watcher.compared == bool(examples)
    return ledger


def found(ledger: Ledger) -> list[tuple[str, list[int]]]:
    return [(group.kind.code, group.rows) for group in (*ledger.errors, *ledger.warnings)]


@pytest.fixture
def mistral(make_tokenizer: MakeTokenizer) -> tuple[Any, Renderer]:
    tokenizer = make_tokenizer("mistral")
    return tokenizer, Renderer(tokenizer, 512)


def relabelled(example: Example, labels: Any) -> Example:
    return replace(example, labels=np.asarray(labels, dtype=np.int32))


def test_what_the_renderer_makes_is_without_fault_in_every_family(tokenizer: Any, talk: Talk) -> None:
    for turns in (TURNS, TURNS[:2], TURNS[1:], ("S: Be kind.", *TURNS)):
        conversation = talk(*turns, row=3)
        renderer = Renderer(tokenizer, 512)
        assert found(audit(tokenizer, renderer, conversation, renderer.render(conversation))) == []


def test_divided_and_shortened_conversations_are_without_fault_too(tokenizer: Any, talk: Talk) -> None:
    conversation = talk(*(TURNS * 6), row=3)
    for max_length in (64, 96, 160, 256):
        renderer = Renderer(tokenizer, max_length)
        examples = renderer.render(conversation)
        errors = audit(tokenizer, renderer, conversation, examples).errors
        assert [group.kind.code for group in errors] == []


def test_an_end_token_without_a_label_is_found(mistral: tuple[Any, Renderer], talk: Talk) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    labels = np.where(np.isin(example.ids, list(mistral[1].ends)), NO_TARGET, example.labels)
    assert found(audit(*mistral, conversation, [relabelled(example, labels)])) == [("end-unlabelled", [7])]


def test_a_template_that_ends_only_the_last_turn_is_said(make_tokenizer: MakeTokenizer, talk: Talk) -> None:
    tokenizer = make_tokenizer("mistral")
    renderer = Renderer(tokenizer, 512)
    conversation = talk(*TURNS, row=7)
    [example] = renderer.render(conversation)
    end = runs(example)[0][1] - 1
    cut = replace(example, ids=np.delete(example.ids, end), labels=np.delete(example.labels, end))
    assert found(audit(tokenizer, renderer, conversation, [cut])) == [("end-missing", [7])]


def test_an_example_without_a_target_is_found(mistral: tuple[Any, Renderer], talk: Talk) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    ledger = audit(*mistral, conversation, [relabelled(example, np.full(example.tokens, NO_TARGET))])
    assert found(ledger) == [("no-targets", [7]), ("mask-offset", [7]), ("few-targets", [])]


@pytest.mark.parametrize("shift", [-3, -1, 1, 2])
def test_labels_that_are_off_by_some_tokens_are_found(mistral: tuple[Any, Renderer], talk: Talk, shift: int) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    mask = np.roll(example.labels != NO_TARGET, shift)
    ledger = audit(*mistral, conversation, [relabelled(example, np.where(mask, example.ids, NO_TARGET))])
    assert ("mask-offset", [7]) in found(ledger)


def test_a_reply_that_is_not_trained_is_found(mistral: tuple[Any, Renderer], talk: Talk) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    labels = example.labels.copy()
    labels[: runs(example)[0][1]] = NO_TARGET
    assert found(audit(*mistral, conversation, [relabelled(example, labels)])) == [("mask-offset", [7])]


def test_a_doubled_begin_token_is_found(mistral: tuple[Any, Renderer], talk: Talk) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    doubled = replace(
        example,
        ids=np.concatenate((example.ids[:1], example.ids)),
        labels=np.concatenate((example.labels[:1], example.labels)),
    )
    assert found(audit(*mistral, conversation, [doubled])) == [("bos-doubled", [7])]


def test_a_missing_begin_token_is_found_where_the_tokenizer_writes_one(
    mistral: tuple[Any, Renderer], talk: Talk
) -> None:
    conversation = talk(*TURNS, row=7)
    [example] = mistral[1].render(conversation)
    bare = replace(example, ids=example.ids[1:], labels=example.labels[1:])
    ledger = Ledger()
    habits = replace(Habits.of(*mistral), adds_bos=True)
    watcher = TokenAudit(habits, ledger, 1)
    watcher.see([conversation], [bare])
    assert found(ledger) == [("bos-missing", [7])]


def test_a_pad_token_equal_to_the_end_token_is_said(mistral: tuple[Any, Renderer]) -> None:
    habits = Habits.of(*mistral)
    assert list(check_tokenizer(habits)) == []
    [end] = habits.ends
    [finding] = check_tokenizer(replace(habits, pad=end))
    assert finding.kind.code == "pad-is-end"


def test_what_rendering_loses_is_found_with_its_rows(make_tokenizer: MakeTokenizer, talk: Talk) -> None:
    tokenizer = make_tokenizer("chatml")
    renderer = Renderer(tokenizer, 64)
    renderer.render_all(
        [
            talk("C: I worry.", "T: " + "Tell me more about her." * 40, row=4),
            talk("C: " + "I cannot sleep at night." * 40, "T: Why?", row=5),
            talk("S: " + "You are kind." * 60, "C: I worry.", "T: Why?", row=6),
        ]
    )
    ledger = Ledger()
    ledger.add(check_losses(renderer.tally))
    assert dict(found(ledger)) == {"dropped": [6], "cut": [4], "shortened": [5]}
