"""Parts cut out of the tokens of the whole: the very tokens that encoding them makes, or none."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from engine.data import slicing
from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.template import Renderer

Talk = Callable[..., Conversation]
WORDS = [
    *["I", "keep", "worrying", "about", "my", "work,", "Hello", "42", "tell", "me", "more?", "</s", "[INST]", "-", "x"],
    *("\u00e9t\u00e9", "\U0001f56f", "\n\n"),
]


def talks(talk: Talk, count: int) -> list[Conversation]:
    chance = Random(7)

    def said() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, 25))).strip() or "x"

    made = []
    for row in range(count):
        turns = [f"{'CT'[number % 2]}: {said()}" for number in range(2 * chance.randint(2, 9))]
        made.append(talk(*(["S: Be kind."] if row % 5 == 0 else []), *turns, row=row))
    return made


def plain(examples: list[Example]) -> list[Any]:
    return [(each.ids.tolist(), each.labels.tolist(), each.conversation, each.part) for each in examples]


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut is taken as it is."""
    monkeypatch.setattr(slicing, "FIRST", 0)
    monkeypatch.setattr(slicing, "EVERY", 10**9)


def never(*arguments: object) -> None:
    return None


def test_cut_parts_are_the_encoded_ones_in_every_family(
    tokenizer: Any, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversations = talks(talk, 60)
    unchecked(monkeypatch)
    cut = Renderer(tokenizer, 120)
    examples = cut.render_all(conversations)
    assert cut.tally.divided > 20
    monkeypatch.setattr(slicing, "cut_out", never)
    encoded = Renderer(tokenizer, 120)
    assert plain(examples) == plain(encoded.render_all(conversations))
    assert cut.tally == encoded.tally


@pytest.mark.parametrize("name", ["mistral", "chatml", "llama3", "phi3"])
def test_parts_are_cut_and_not_encoded_again(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    unchecked(monkeypatch)
    texts = 0

    def counted(self: slicing.Slicer, *arguments: Any) -> Any:
        nonlocal texts
        before = self._encode

        def encode(wanted: Any) -> Any:
            nonlocal texts
            texts += len(wanted)
            return before(wanted)

        self._encode = encode
        try:
            return original(self, *arguments)
        finally:
            self._encode = before

    original = slicing.Slicer.parts
    monkeypatch.setattr(slicing.Slicer, "parts", counted)
    renderer = Renderer(make_tokenizer(name), 120)
    renderer.render_all([each for each in talks(talk, 60) if each.row % 5])
    assert renderer.tally.parts > 60
    assert texts < 10


def monologues(talk: Talk, count: int) -> list[Conversation]:
    """Single exchanges whose client says more than fits."""
    chance = Random(11)

    def said(words: int) -> str:
        return " ".join(chance.choices(WORDS, k=words)).strip() or "x"

    return [
        talk(*(["S: Be kind."] if row % 5 == 0 else []), f"C: {said(90)}", f"T: {said(row)}", row=row)
        for row in range(1, count + 1)
    ]


def test_a_shortened_exchange_has_the_tokens_of_encoding_it_whole_in_every_family(
    tokenizer: Any, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversations = monologues(talk, 60)
    unchecked(monkeypatch)
    kept = Renderer(tokenizer, 120)
    examples = kept.render_all(conversations)
    assert kept.tally.shortened > 40
    monkeypatch.setattr(slicing, "joined", never)
    encoded = Renderer(tokenizer, 120)
    assert plain(examples) == plain(encoded.render_all(conversations))
    assert kept.tally == encoded.tally


def test_the_reply_to_a_shortened_turn_is_not_encoded_again(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchecked(monkeypatch)
    renderer = Renderer(make_tokenizer("mistral"), 120)
    seen: list[str] = []
    before = renderer._slicer._encode

    def encode(texts: Any) -> Any:
        seen.extend(texts)
        return before(texts)

    monkeypatch.setattr(renderer._slicer, "_encode", encode)
    renderer.render_all([talk(f"C: {'I keep worrying. ' * 60}", "T: Tell me about the lighthouse.")])
    assert renderer.tally.shortened == 1
    assert seen
    assert not any("lighthouse" in text for text in seen)


# Parts of what is divided at turns, and the one exchange whose client says less.
@pytest.mark.parametrize(("cut", "made"), [("cut_out", talks), ("joined", monologues)], ids=["parts", "shortened"])
def test_tokens_that_differ_from_what_encoding_makes_end_the_cutting(
    cut: str,
    made: Callable[..., Any],
    make_tokenizer: Callable[[str], Any],
    talk: Talk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversations, tokenizer = made(talk, 40), make_tokenizer("mistral")
    expected = plain(Renderer(tokenizer, 120).render_all(conversations))
    original = getattr(slicing, cut)

    def wrong(*arguments: Any) -> Any:
        found = original(*arguments)
        if found is not None:
            found = type(found)(ids=np.roll(found.ids, 1), control=found.control, place=found.place)
        return found

    monkeypatch.setattr(slicing, cut, wrong)
    renderer = Renderer(tokenizer, 120)
    assert plain(renderer.render_all(conversations)) == expected
    assert not renderer._slicer.sound
