"""Near-duplicate prompts: found like the exact comparison finds them, whatever the order, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest

from engine.data.checks.similarity import similar
from engine.data.conversation import Conversation
from engine.data.echoes import REACH, echoes
from engine.data.split import LARGEST_ECHO, split

Talk = Callable[..., Conversation]
WORDS = [a + b + c for a in "bdfglmnprst" for b in "aeiou" for c in ("ck", "m", "nd", "ra", "st")]
LETTER = (
    "my sister and i have not spoken since our mother died and every week i write her a letter that i do not send "
    "because i fear what she would say about the house and the money that was left to us"
)


def prompts(count: int, chance: Random) -> list[str]:
    """Random prompts; a third of them is an earlier one with a few words changed."""
    made: list[list[str]] = []
    while len(made) < count:
        if made and chance.random() < 0.33:
            words = list(chance.choice(made))
            for _ in range(chance.randint(1, 4)):
                words[chance.randrange(len(words))] = chance.choice(WORDS)
        else:
            words = chance.choices(WORDS, k=chance.randint(3, 80))
        if words not in made:
            made.append(words)
    return [" ".join(words) for words in made]


def components(texts: list[str]) -> set[frozenset[str]]:
    """The groups that exact comparison of all pairs makes."""
    parent = list(range(len(texts)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for pair in similar(texts):
        parent[root(pair.first)] = root(pair.second)
    groups: dict[int, set[str]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(root(index), set()).add(text)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def named(texts: list[str]) -> set[frozenset[str]]:
    return {frozenset(texts[position] for position in group) for group in echoes(texts)}


@pytest.mark.parametrize("seed", range(5))
def test_the_groups_are_those_of_the_exact_comparison(seed: int) -> None:
    texts = prompts(300, Random(seed))
    assert len(components(texts)) > 20
    assert named(texts) == components(texts)


def test_the_order_of_the_prompts_changes_nothing() -> None:
    texts = prompts(200, Random(9))
    shuffled = Random(1).sample(texts, len(texts))
    assert named(shuffled) == named(texts)


def test_short_prompts_and_shared_sentences_stand_alone() -> None:
    own = [" ".join(Random(n).choices(WORDS, k=30)) for n in range(3 * REACH)]
    assert echoes([f"{LETTER.split(' and ', 1)[0]} {each}" for each in own]) == []
    assert echoes(["i cannot sleep at night", "i cannot sleep at all", ""]) == []
    assert echoes([]) == []


def test_near_duplicate_prompts_go_to_one_side(talk: Talk) -> None:
    edits = ["every week", "each week", "every month", "each day", "every year"]
    for seed in range(12):
        conversations = [
            talk(f"C: {LETTER.replace('every week', edit)}", f"T: answer {row}", row=row)
            for row, edit in enumerate(edits)
        ]
        conversations += [
            talk(f"C: {' '.join(Random(row).choices(WORDS, k=20))}", "T: So?", row=row) for row in range(5, 40)
        ]
        train, validation = split(conversations, 0.4, seed)
        letters = [sum(each.row < len(edits) for each in side) for side in (train, validation)]
        assert sorted(letters) == [0, len(edits)]
        again = split(Random(seed).sample(conversations, len(conversations)), 0.4, seed)[1]
        assert {each.row for each in again} == {each.row for each in validation}


def test_a_template_that_most_prompts_are_made_of_is_still_split(talk: Talk) -> None:
    conversations = [
        talk(f"C: {LETTER.replace('sister', f'sister number {row}')}", "T: So?", row=row) for row in range(100)
    ]
    assert len(echoes([" ".join(each.turns[0].text.split()) for each in conversations])[0]) > LARGEST_ECHO * 100
    train, validation = split(conversations, 0.1, 42)
    assert (len(train), len(validation)) == (90, 10)


def test_thousands_of_prompts_take_seconds() -> None:
    chance = Random(3)
    texts = [" ".join(chance.choices(WORDS, k=60)) for _ in range(4000)]
    started = time.process_time()
    assert echoes(texts) == []
    assert time.process_time() - started < 5.0
