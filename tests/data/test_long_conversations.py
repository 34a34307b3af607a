"""Conversations above max_length: divided at turns, and what gives way when a single exchange is too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.data.conversation import Conversation
from engine.data.encoding import Encoded
from engine.data.example import NO_TARGET
from engine.data.template import Renderer
from engine.data.windows import windows

Talk = Callable[..., Conversation]
LIMIT = 200
SYSTEM = "You are kind. " * 4


def long_talk(talk: Talk, exchanges: int) -> Any:
    turns = []
    for number in range(exchanges):
        turns += [f"C: I keep worrying about my work, part {number}.", f"T: Would you like to tell me more, {number}?"]
    return talk(f"S: {SYSTEM.strip()}", *turns)


def test_parts_fit_and_each_reply_is_a_target_exactly_once(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LIMIT)
    examples = renderer.render(long_talk(talk, 24))
    assert 2 < len(examples) < 24
    assert [example.part for example in examples] == list(range(len(examples)))
    targets = ""
    for example in examples:
        assert example.tokens <= LIMIT
        targets += tokenizer.decode([label for label in example.labels.tolist() if label != NO_TARGET])
    for number in range(24):
        assert targets.count(f"tell me more, {number}?") == 1
    assert (renderer.tally.divided, renderer.tally.parts) == (1, len(examples))


def test_later_parts_show_some_of_what_came_before_without_labels(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LIMIT)
    first, second, *_ = renderer.render(long_talk(talk, 24))
    last_reply = tokenizer.decode([label for label in first.labels.tolist() if label != NO_TARGET]).split("more, ")[-1]
    number = int(last_reply.split("?")[0])
    shown = tokenizer.decode(second.ids)
    labelled = tokenizer.decode([label for label in second.labels.tolist() if label != NO_TARGET])
    assert f"more, {number}?" in shown
    assert f"more, {number}?" not in labelled
    assert "You are kind." in shown
    first_target = second.labels.tolist().index(next(t for t in second.labels.tolist() if t != NO_TARGET))
    assert renderer.tally.carried_tokens > 0
    assert first_target < LIMIT // 2


def test_a_client_turn_that_is_too_long_loses_its_beginning_not_the_reply(tokenizer: Any, end: str, talk: Talk) -> None:
    story = " ".join(f"word{number}" for number in range(300))
    renderer = Renderer(tokenizer, LIMIT)
    (example,) = renderer.render(talk(f"S: {SYSTEM.strip()}", f"C: {story}", "T: That sounds very lonely."))
    text = tokenizer.decode(example.ids)
    assert LIMIT - 20 <= example.tokens <= LIMIT
    assert SYSTEM.strip() in text
    assert "word299" in text
    assert "word0 " not in text
    labelled = tokenizer.decode([label for label in example.labels.tolist() if label != NO_TARGET])
    assert labelled.strip() == f"That sounds very lonely.{end}"
    assert (renderer.tally.shortened, renderer.tally.cut) == (1, 0)


def test_a_reply_that_is_too_long_is_cut_without_an_end_token(tokenizer: Any, end: str, talk: Talk) -> None:
    speech = " ".join(f"word{number}" for number in range(300))
    renderer = Renderer(tokenizer, LIMIT)
    (example,) = renderer.render(talk("C: I worry.", f"T: {speech}"))
    assert example.tokens == LIMIT
    labelled = tokenizer.decode([label for label in example.labels.tolist() if label != NO_TARGET])
    assert labelled.strip().startswith("word0 word1")
    assert end not in labelled
    assert (renderer.tally.shortened, renderer.tally.cut) == (0, 1)


def test_both_too_long_leave_a_quarter_to_the_client(tokenizer: Any, talk: Talk) -> None:
    story = " ".join(f"word{number}" for number in range(300))
    renderer = Renderer(tokenizer, LIMIT)
    (example,) = renderer.render(talk(f"C: {story}", f"T: {story}"))
    assert example.tokens == LIMIT
    assert example.targets >= LIMIT // 2
    assert (renderer.tally.shortened, renderer.tally.cut) == (1, 1)


def test_a_system_text_without_room_for_anything_drops_the_conversation_and_says_so(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LIMIT)
    system = " ".join(f"word{number}" for number in range(300))
    assert renderer.render(talk(f"S: {system}", "C: I worry.", "T: Why?", row=4)) == []
    assert renderer.tally.dropped == [4]
    assert any("could not be rendered" in note and "4" in note for note in renderer.tally.notes())


@given(st.integers(0, 20), st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(30, 120))
def test_windows_label_every_exchange_once_and_fit(preamble: int, costs: list[int], limit: int) -> None:
    parts = windows(preamble, costs, limit, limit // 4)
    assert [n for part in parts for n in range(part.first, part.stop)] == list(range(len(costs)))
    for part in parts:
        carried = sum(costs[part.start : part.first])
        assert carried <= limit // 4
        assert preamble + sum(costs[part.start : part.stop]) <= limit or part.alone


def test_the_time_for_a_conversation_grows_with_its_length_and_not_with_its_square() -> None:
    """Looking for control tokens inside the turns compares no turn with every token."""
    encoded = Encoded(
        ids=np.zeros(200_000, dtype=np.int32),
        control=np.arange(200_000) % 2 == 0,
        place=lambda index: (3 * index, 3 * index + 3),
    )
    between = [(6 * number + 3, 6 * number + 6) for number in range(100_000)]
    began = time.thread_time()
    assert not encoded.holds_control(between)
    assert encoded.holds_control([*between, (599_990, 599_998)])
    assert time.thread_time() - began < 5.0, "it would take minutes"
