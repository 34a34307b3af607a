"""The validation split: no prompt on both sides, the same members whatever the order of rows."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import DataError
from engine.data.conversation import Conversation
from engine.data.split import prompt_key, split, without_shared_prompts

Talk = Callable[..., Conversation]


def made(talk: Talk, prompts: list[tuple[int, str]]) -> list[Conversation]:
    return [
        talk(f"C: question {prompt}", f"T: answer {row}", domain=domain, row=row)
        for row, (prompt, domain) in enumerate(prompts, start=1)
    ]


data = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=2, max_size=80).filter(
    lambda prompts: len({prompt for prompt, _ in prompts}) > 1
)
fractions = st.floats(0.01, 0.5)
seeds = st.integers(0, 2**63 - 1)


@given(prompts=data, fraction=fractions, seed=seeds)
def test_every_conversation_is_on_one_side_and_no_prompt_on_both(
    prompts: list[tuple[int, str]], fraction: float, seed: int, talk: Talk
) -> None:
    conversations = made(talk, prompts)
    train, validation = split(conversations, fraction, seed)
    assert train
    assert validation
    assert sorted(c.row for c in train + validation) == [c.row for c in conversations]
    assert [c.row for c in train] == sorted(c.row for c in train)
    assert not {prompt_key(c) for c in train} & {prompt_key(c) for c in validation}


@given(prompts=data, fraction=fractions, seed=seeds, random=st.randoms(use_true_random=False))
def test_membership_does_not_depend_on_the_order_of_rows(
    prompts: list[tuple[int, str]], fraction: float, seed: int, random: Random, talk: Talk
) -> None:
    conversations = made(talk, prompts)
    shuffled = list(conversations)
    random.shuffle(shuffled)
    _, validation = split(conversations, fraction, seed)
    _, again = split(shuffled, fraction, seed)
    assert {c.row for c in validation} == {c.row for c in again}


def test_every_domain_gives_its_share(talk: Talk) -> None:
    conversations = made(talk, [(n, "common") for n in range(900)] + [(n, "rare") for n in range(900, 1000)])
    _, validation = split(conversations, 0.1, 42)
    counts = {name: sum(c.domain == name for c in validation) for name in ("common", "rare")}
    assert counts == {"common": 90, "rare": 10}


def test_another_seed_holds_out_others(talk: Talk) -> None:
    conversations = made(talk, [(n, "a") for n in range(200)])
    held = [frozenset(c.row for c in split(conversations, 0.1, seed)[1]) for seed in range(5)]
    assert len(set(held)) == 5


def test_case_spacing_and_punctuation_do_not_make_a_prompt_different(talk: Talk) -> None:
    assert prompt_key(talk("C: I can't sleep!", "T: a")) == prompt_key(talk("C:  i can\u0027t  SLEEP ...", "T: b"))


def test_a_bare_greeting_is_no_prompt(talk: Talk) -> None:
    one = talk("C: Hi there!", "T: Hello.", "C: I lost my job.", "T: a")
    two = talk("C: Hi there!", "T: Hello.", "C: I cannot sleep.", "T: a")
    assert prompt_key(one) != prompt_key(two)
    assert prompt_key(talk("T: Welcome.", "C: I lost my job.", "T: a")) == "i lost my job"


def test_one_single_prompt_cannot_be_split(talk: Talk) -> None:
    with pytest.raises(DataError, match="only one prompt"):
        split(made(talk, [(1, "a"), (1, "a")]), 0.1, 42)


def test_training_loses_the_prompts_of_a_given_validation_file(talk: Talk) -> None:
    train = made(talk, [(1, "a"), (2, "a"), (3, "a")])
    kept, leaked = without_shared_prompts(train, made(talk, [(2, "b"), (9, "b")]))
    assert ([c.row for c in kept], [c.row for c in leaked]) == ([1, 3], [2])
