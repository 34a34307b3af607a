"""What control tokens tell of a text is what the places of its tokens tell, or the places are asked."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from engine.data import encoder, encoding
from engine.data.anchors import NEVER, Anchors
from engine.data.controls import Controls
from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.garbage import seldom_collected
from engine.data.scaffold import Layout
from engine.data.template import Renderer

Talk = Callable[..., Conversation]
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
    monkeypatch.setattr(encoder, "FIRST", 0)
    monkeypatch.setattr(encoder, "EVERY", 10**9)


def placed(tokenizer: Any, max_length: int) -> Renderer:
    """A renderer that asks for every place."""
    renderer = Renderer(tokenizer, max_length)
    renderer._encoder.sound = False
    return renderer


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("max_length", [60, 400])
def test_in_every_family_examples_are_those_of_places(tokenizer: Any, talk: Talk, max_length: int) -> None:
    conversations = talks(talk, 150)
    told, asked = Renderer(tokenizer, max_length), placed(tokenizer, max_length)
    assert plain(told.render_all(conversations)) == plain(asked.render_all(conversations))
    assert told.tally == asked.tally


def test_whether_control_tokens_tell_enough_is_found_out(
    family: str, tokenizer: Any, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where [INST] is ordinary text they do not; everywhere else hardly any place is made after the first texts."""
    made = {True: 0, False: 0}

    def counted(tokenizer: Any, texts: Sequence[str], *, places: bool = True) -> list[Any]:
        made[places] += len(texts)
        return encoding.tokens_of(tokenizer, texts, places=places)

    monkeypatch.setattr(encoder, "tokens_of", counted)
    renderer = Renderer(tokenizer, 4000)
    renderer.render_all(talks(talk, 600, turns=2))
    if family == "pieces":
        assert not renderer._encoder.sound
        assert made[True] >= 600
    else:
        assert renderer._encoder.sound
        assert made[True] <= encoder.FIRST + 600 // encoder.EVERY
        assert made[False] >= 600


def test_a_text_that_is_likely_too_long_is_encoded_once(
    make_tokenizer: Callable[[str], Any], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = 0

    def counted(self: encoder.Encoder, text: str) -> Any:
        nonlocal again
        again += 1
        return before(self, text)

    before = encoder.Encoder._again
    monkeypatch.setattr(encoder.Encoder, "_again", counted)
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
    assert not renderer._encoder.sound


@pytest.mark.usefixtures("unchecked")
def test_words_of_the_template_whose_tokens_change_before_a_turn_tell_nothing(
    make_tokenizer: Callable[[str], Any], talk: Talk
) -> None:
    """Two line ends are one token by themselves and two before a word, as GPT-2's splitting has it."""
    made = make_tokenizer("llama3")
    state = json.loads(made.backend_tokenizer.to_str())
    state["model"]["vocab"]["\u010a\u010a"] = max(state["model"]["vocab"].values()) + 1
    state["model"]["merges"].append(["\u010a", "\u010a"])
    joining = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        bos_token=made.bos_token,
        eos_token=made.eos_token,
        chat_template=made.chat_template,
    )
    conversations = talks(talk, 100)
    told, asked = Renderer(joining, 4000), placed(joining, 4000)
    assert plain(told.render_all(conversations)) == plain(asked.render_all(conversations))


def test_words_of_the_template_that_hold_an_unknown_character_tell_nothing() -> None:
    """Some tokenizers join unknown characters, so that one token may reach from the template's words into the turn."""
    backend = SimpleNamespace(truncation=None, padding=None)
    backend.encode = lambda text, add_special_tokens: SimpleNamespace(ids=[0, 7, 3] if "?" in text else [0, 7])
    odd = SimpleNamespace(backend_tokenizer=backend, unk_token_id=3)
    asked = encoder.Encoder(odd, Controls(SimpleNamespace(added_tokens_decoder={}, all_special_tokens=[]), ""), 400)
    assert asked._lead("<s>a") == [7]
    assert asked._lead("<s>a?") == NEVER


TURN = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), min_size=1, max_size=6).map("".join)


@settings(deadline=None)
@given(turns=st.lists(TURN, min_size=2, max_size=5), data=st.data())
def test_whatever_is_said_control_tokens_tell_the_truth_or_nothing(
    make_tokenizer: Callable[[str], Any],
    end_tokens: dict[str, str],
    talk: Talk,
    turns: list[str],
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(end_tokens)))
    renderer = Renderer(make_tokenizer(name), 4000)
    spoken = [f"{'CT'[number % 2]}: {text.strip() or 'x'}" for number, text in enumerate(turns)]
    layout: Layout = renderer._template.lay_out(renderer._arrange(talk(*spoken).turns))
    batch = renderer._encoder.begin([layout])
    tokens, without = renderer._encoder.work(batch)
    [told] = renderer._encoder.end(encoder.Batch(layouts=[layout], placed=(), quick=(0,)), ([], without))
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
    assert seen[0] > before[0]
    assert gc.get_threshold() == before
    gc.set_threshold(0)
    try:
        with seldom_collected():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
