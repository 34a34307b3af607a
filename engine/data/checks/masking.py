"""Checks of ids and labels, made against the words and the tokenizer alone, not against how they were built.

The renderer is right by construction; these look at its results as a stranger would, so that a defect in it, or a
tokenizer with habits of its own, is found in the first minute and not after the paid hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.conversation import Conversation
from engine.data.dialogue import arrange
from engine.data.example import NO_TARGET, Example
from engine.data.template import Renderer

END_UNLABELLED: Final = Kind(
    code="end-unlabelled",
    severity=Severity.ERROR,
    title="Replies whose end-of-turn token carries no label",
    remedy="The model would never learn to stop.",
)
END_MISSING: Final = Kind(
    code="end-missing",
    severity=Severity.WARNING,
    title="Replies that the chat template follows with no end-of-turn token",
    remedy="They teach no stop; another chat template closes every turn.",
)
NO_TARGETS: Final = Kind(
    code="no-targets",
    severity=Severity.ERROR,
    title="Examples without a single target token",
    remedy="They cost time and teach nothing.",
)
FEW_TARGETS: Final = Kind(
    code="few-targets",
    severity=Severity.WARNING,
    title="Few target tokens",
    remedy="Most of the time goes into reading; see whether the roles are right.",
)
MASK_OFFSET: Final = Kind(
    code="mask-offset",
    severity=Severity.ERROR,
    title="Conversations whose labels do not read as the therapist's words",
    remedy="The wrong tokens would be trained; give another template with --chat-template FILE.",
)
BOS_DOUBLED: Final = Kind(
    code="bos-doubled",
    severity=Severity.ERROR,
    title="Examples that begin with the begin token twice",
    remedy="The base model never saw that; correct the chat template.",
)
BOS_MISSING: Final = Kind(
    code="bos-missing",
    severity=Severity.WARNING,
    title="Examples without the begin token that this tokenizer puts first",
    remedy="Programs that serve the model may add it, and it would then meet what it was not trained on.",
)
PAD_IS_END: Final = Kind(
    code="pad-is-end",
    severity=Severity.WARNING,
    title="Pad token equal to the end-of-turn token",
    remedy="Stint never pads, so no label is lost; a program that masks by the pad token would lose every stop.",
)
LEAST_TARGET_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What the checks know of a tokenizer and its template."""

    tokenizer: Any
    renderer: Renderer
    ends: frozenset[int]
    """Ids that end a therapist's turn."""
    tail: str
    """What a template writes between the reply and its end token, without white space; mostly nothing."""
    bos: int | None
    adds_bos: bool
    """Whether the tokenizer by itself begins a text with the begin token."""
    pad: int | None

    @classmethod
    def of(cls, tokenizer: Any, renderer: Renderer) -> Habits:
        """Ask the tokenizer."""
        bos = tokenizer.bos_token_id
        alone = tokenizer("a", verbose=False)["input_ids"]
        return cls(
            tokenizer=tokenizer,
            renderer=renderer,
            ends=renderer.ends,
            tail=_squeeze(tokenizer.decode(renderer.end_ids[:-1])),
            bos=bos,
            adds_bos=bos is not None and bool(alone) and alone[0] == bos,
            pad=tokenizer.pad_token_id,
        )


def check_tokenizer(habits: Habits) -> Iterator[Finding]:
    """What is true of the tokenizer whatever the data."""
    if habits.pad is not None and habits.pad in habits.ends:
        name = habits.tokenizer.pad_token
        yield Finding(kind=PAD_IS_END, row=None, sentence=f"The pad token {name} is the end-of-turn token as well.")


def check_example(example: Example, habits: Habits) -> Iterator[Finding]:
    """The invariants of one example that cost no decoding."""
    place = f"part {example.part + 1}" if example.part else ""
    if example.targets == 0:
        yield Finding(kind=NO_TARGETS, row=example.conversation, place=place, sentence="no token carries a label.")
    for _, stop in runs(example):
        if int(example.ids[stop - 1]) in habits.ends:
            continue
        if stop < example.tokens and int(example.ids[stop]) in habits.ends:
            sentence = f"the end token at position {stop} carries no label."
            yield Finding(kind=END_UNLABELLED, row=example.conversation, place=place, sentence=sentence)
            break
        # A reply that was cut at max_length has lost its end on purpose, and the renderer counts it.
        if stop < example.tokens or example.tokens < habits.renderer.max_length:
            sentence = f"no end token follows the reply that ends at position {stop}."
            yield Finding(kind=END_MISSING, row=example.conversation, place=place, sentence=sentence)
            break
    if habits.bos is None or habits.bos in habits.ends:
        return
    begins = [int(token) == habits.bos for token in example.ids[:2]]
    if all(begins) and len(begins) == 2:
        sentence = "it begins with the begin token twice."
        yield Finding(kind=BOS_DOUBLED, row=example.conversation, place=place, sentence=sentence)
    elif habits.adds_bos and not begins[0]:
        sentence = f"it does not begin with {habits.tokenizer.bos_token}."
        yield Finding(kind=BOS_MISSING, row=example.conversation, place=place, sentence=sentence)


def check_words(conversation: Conversation, examples: Sequence[Example], habits: Habits) -> Iterator[Finding]:
    """Whether the labelled runs, decoded, are the therapist's turns, all of them and in order."""
    replies = [exchange.therapist for exchange in arrange(conversation.turns).exchanges]
    expected = iter(enumerate(replies, start=1))
    read = 0
    for example in examples:
        for start, stop in runs(example):
            ids = example.ids[start:stop].tolist()
            ended = ids[-1] in habits.ends
            # A part that had no room for its reply was left out and counted, so a run may belong to a later reply.
            found = any(_reads_as(ids, reply, ended, habits) for _, reply in expected)
            if not found:
                place = f"reply {read + 1}"
                sentence = "the labels do not read as the therapist's turn."
                yield Finding(kind=MASK_OFFSET, row=conversation.row, place=place, sentence=sentence)
                return
            read += 1
    if read < len(replies) and len(examples) == 1 and examples[0].tokens < habits.renderer.max_length:
        sentence = f"{read} of its {len(replies)} therapist turns carry labels."
        yield Finding(kind=MASK_OFFSET, row=conversation.row, sentence=sentence)


def few_targets(tokens: int, targets: int) -> Iterator[Finding]:
    """Whether too little of what is read is learned."""
    if tokens and targets < LEAST_TARGET_SHARE * tokens:
        sentence = f"Only {targets / tokens:.1%} of the tokens carry a label."
        yield Finding(kind=FEW_TARGETS, row=None, sentence=sentence)


def runs(example: Example) -> list[tuple[int, int]]:
    """Stretches of labelled tokens as (start, stop)."""
    labelled = np.concatenate(([False], example.labels != NO_TARGET, [False]))
    edges = np.flatnonzero(labelled[1:] != labelled[:-1])
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _reads_as(ids: list[int], reply: str, ended: bool, habits: Habits) -> bool:
    """Whether ids decode to a reply, or to what the tokenizer makes of it; white space aside, and cut if not ended."""
    read = _squeeze(habits.tokenizer.decode(ids[:-1] if ended else ids))
    if ended and habits.tail:
        read = read.removesuffix(habits.tail)
    plain = habits.renderer.plain(reply)
    said = _squeeze(plain)
    if read == said or (not ended and said.startswith(read)):
        return True
    again = habits.tokenizer(plain, add_special_tokens=False, verbose=False)["input_ids"]
    said = _squeeze(habits.tokenizer.decode(again))
    # The last token of a cut reply may hold half a character.
    return read == said or (not ended and said.startswith(read.rstrip("\ufffd")))


def _squeeze(text: str) -> str:
    return "".join(text.split())
