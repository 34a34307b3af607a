"""What control tokens tell of a text is what the places of its tokens tell, or the places are asked."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import encoding, quick
from engine.data.anchors import Anchors
from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.garbage import seldom_collected
from engine.data.scaffold import Layout
from engine.data.template import Renderer

Talk = Callable[..., Conversation]
FAMILIES = ["chatml", "greedy", "llama3", "mistral", "nemo", "phi3", "pieces"]
WORDS = [
    *["I", "keep", "worrying", "about", "my", "work,", "Hello", "42", "assistant", "<|", "|>", "</s", "s>", "[INST]"],
    *["<s>", "<|im_end|>", "<|end|>", "\u00e9t\u00e9", "\U0001f56f", "\n\n", "\n", " ", "-", "\u2581"],
]


def talks(talk: Talk, count: int, *, turns: int = 4, words: int = 12) -> list[Conversation]:
    chance = Random(5)

    def said() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, words))).strip() or "x"

    return [
        talk(
            *(["S: Be kind."] if row % 7 == 0 else []),
            *[f"{'CT'[number % 2]}: {said()}" for number in range(2 * chance.randint(1, turns))],
            row=row,
        )
        for row in range(1, count + 1)
    ]


def plain(examples: Sequence[Example]) -> list[Any]:
    return [(each.ids.tolist(), each.labels.tolist(), each.conversation, each.part) for each in examples]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What control tokens tell is taken as it is."""
    monkeypatch.setattr(quick, "FIRST", 0)
    monkeypatch.setattr(quick, "EVERY", 10**9)


def placed(tokenizer: Any, max_length: int) -> Renderer:
    """A renderer that asks for every place."""
    renderer = Renderer(tokenizer, max_length)
    renderer._quick.sound = False
    return renderer


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("max_length", [60, 400])
def test_in_every_family_examples_are_those_of_places(tokenizer: Any, talk: Talk, max_length: int) -> None:
    conversations = talks(talk, 150)
    told, asked = Renderer(tokenizer, max_length), placed(tokenizer, max_length)
    assert plain(told.render_all(conversations)) == plain(asked.render_all(conversations))
    assert told.tally == asked.tally


@pytest.mark.parametrize("name", FAMILIES)
def test_whether_control_tokens_tell_enough_is_found_out(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where [INST] is ordinary text they do not; everywhere else hardly any place is made after the first texts."""
    made = {True: 0, False: 0}

    def counted(tokenizer: Any, texts: Sequence[str], *, places: bool = True) -> list[Any]:
        made[places] += len(texts)
        return encoding.tokens_of(tokenizer, texts, places=places)

    monkeypatch.setattr(quick, "tokens_of", counted)
    renderer = Renderer(make_tokenizer(name), 4000)
    renderer.render_all(talks(talk, 600, turns=2))
    if name == "pieces":
        assert not renderer._quick.sound
        assert made[True] >= 600
    else:
        assert renderer._quick.sound
        assert made[True] <= quick.FIRST + 600 // quick.EVERY
        assert made[False] >= 600


def test_a_text_that_is_likely_too_long_is_encoded_once(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = 0

    def counted(self: quick.Quick, text: str) -> Any:
        nonlocal again
        again += 1
        return before(self, text)

    before = quick.Quick._again
    monkeypatch.setattr(quick.Quick, "_again", counted)
    renderer = Renderer(make_tokenizer("mistral"), 100)
    renderer.render_all(talks(talk, 1500, turns=6))
    assert renderer.tally.divided > 600
    # Those of the first two batches, begun before anything was known, and the few just at the limit.
    assert again < 512


def test_one_difference_and_places_are_asked_from_then_on(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Anchors.covering

    def shifted(self: Anchors, span: tuple[int, int]) -> slice | None:
        told = before(self, span)
        return told and slice(told.start, told.stop - 1)

    conversations = talks(talk, 600)
    expected = plain(placed(make_tokenizer("chatml"), 400).render_all(conversations))
    monkeypatch.setattr(Anchors, "covering", shifted)
    renderer = Renderer(make_tokenizer("chatml"), 400)
    assert plain(renderer.render_all(conversations)) == expected
    assert not renderer._quick.sound


@given(
    turns=st.lists(
        st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), min_size=1, max_size=6).map("".join),
        min_size=2,
        max_size=5,
    ),
    name=st.sampled_from(FAMILIES),
)
def test_whatever_is_said_control_tokens_tell_the_truth_or_nothing(
    make_tokenizer: Callable[[str], Any], talk: Talk, turns: list[str], name: str
) -> None:
    renderer = Renderer(make_tokenizer(name), 4000)
    spoken = [f"{'CT'[number % 2]}: {text.strip() or 'x'}" for number, text in enumerate(turns)]
    layout: Layout = renderer._template.lay_out(renderer._arrange(talk(*spoken).turns))
    batch = renderer._quick.begin([layout])
    tokens, without = renderer._quick.work(batch)
    [told] = quick.Quick.end(renderer._quick, quick.Batch(layouts=[layout], placed=(), quick=(0,)), ([], without))
    [asked] = encoding.with_places(renderer._template.controls, tokens)
    assert told.ids.tolist() == asked.ids.tolist()
    for span in layout.targets:
        known = told.anchors.covering(span) if told.anchors else None
        if name != "pieces":
            assert known is not None
        assert known is None or known == asked.covering(span)


def test_the_collector_is_left_as_it_was_found() -> None:
    before = gc.get_threshold()
    seen = []

    @seldom_collected()
    def read() -> None:
        seen.append(gc.get_threshold()[0])
        raise ValueError("a broken row")

    with pytest.raises(ValueError, match="a broken row"):
        read()
    assert seen > [before[0]]
    assert gc.get_threshold() == before
    gc.set_threshold(0)
    try:
        with seldom_collected():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
