"""What stands on both sides of the split, or would if the split did not keep prompts together; and near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.checks.similarity import similar, words
from engine.data.conversation import Conversation, Role
from engine.data.echoes import LEAST_WORDS
from engine.data.split import prompt_key

REPEATED_PROMPT: Final = Kind(
    code="repeated-prompt",
    severity=Severity.WARNING,
    title="Leakage risk: conversations that repeat the prompt of an earlier one",
    remedy="Stint's split keeps each prompt on one side; a random split elsewhere would measure memory.",
)
LEAKED_PROMPT: Final = Kind(
    code="leaked-prompt",
    severity=Severity.WARNING,
    title="Leakage: training conversations whose prompt nearly repeats one of validation",
    remedy="The validation loss is too good by these; remove one of each pair, or make their wording equal.",
)
LEAKED_REPLY: Final = Kind(
    code="leaked-reply",
    severity=Severity.WARNING,
    title="Leakage: training conversations whose replies nearly repeat those of one of validation",
    remedy="The validation loss is too good by these; remove one of each pair.",
)
NEAR_DUPLICATE: Final = Kind(
    code="near-duplicate",
    severity=Severity.WARNING,
    title="Training conversations that nearly repeat another",
    remedy="They weigh double; remove one of each pair unless that is wanted.",
)


def repeated_prompts(conversations: Sequence[Conversation]) -> Iterator[Finding]:
    """Conversations whose first client turn stands in an earlier one as well."""
    first: dict[str, int] = {}
    for conversation in conversations:
        row = first.setdefault(prompt_key(conversation), conversation.row)
        if row != conversation.row:
            sentence = f"its prompt is that of row {row}."
            yield Finding(kind=REPEATED_PROMPT, row=conversation.row, sentence=sentence)


def leakage(train: Sequence[Conversation], validation: Sequence[Conversation]) -> Iterator[Finding]:
    """Training conversations that nearly repeat a validation one, by prompt and by reply, or one another as a whole.

    Rows are those of training; each comes at most once a kind.
    """
    everyone = [*train, *validation]
    for kind, reading in ((LEAKED_PROMPT, _prompt), (LEAKED_REPLY, _replies)):
        yield from _across(kind, everyone, len(train), reading)
    yield from _within(train)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alike:
    """Positions of conversations that read nearly the same; `one` is `other` where they read exactly the same."""

    one: list[int]
    other: list[int]
    overlap: float


def _across(
    kind: Kind, everyone: Sequence[Conversation], held: int, reading: Callable[[Conversation], str]
) -> Iterator[Finding]:
    """Each training conversation with the validation one that is nearest; positions from `held` on are validation."""
    nearest: dict[int, tuple[float, int]] = {}
    for alike in _alike(everyone, reading):
        for one, other in ((alike.one, alike.other), (alike.other, alike.one)):
            twin = next((position for position in one if position >= held), None)
            if twin is None:
                continue
            for position in other:
                if position < held and alike.overlap > nearest.get(position, (0.0, 0))[0]:
                    nearest[position] = alike.overlap, twin
    for position, (overlap, twin) in sorted(nearest.items()):
        sentence = f"it shares {overlap:.0%} of its five-word runs with validation row {everyone[twin].row}."
        yield Finding(kind=kind, row=everyone[position].row, sentence=sentence)


def _within(train: Sequence[Conversation]) -> Iterator[Finding]:
    """Each training conversation that nearly repeats an earlier one."""
    nearest: dict[int, tuple[float, int]] = {}
    for alike in _alike(train, _whole):
        first, *others = sorted({*alike.one, *alike.other})
        for position in others:
            if alike.overlap > nearest.get(position, (0.0, 0))[0]:
                nearest[position] = alike.overlap, first
    for position, (overlap, twin) in sorted(nearest.items()):
        sentence = f"it shares {overlap:.0%} of its five-word runs with row {train[twin].row}."
        yield Finding(kind=NEAR_DUPLICATE, row=train[position].row, sentence=sentence)


def _alike(everyone: Sequence[Conversation], reading: Callable[[Conversation], str]) -> Iterator[_Alike]:
    """Conversations alike in one reading; those that read the same word for word are compared as one."""
    texts = [reading(conversation) for conversation in everyone]
    same: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, text in enumerate(texts):
        same[tuple(words(text))].append(position)
    for said, group in same.items():
        if len(group) > 1 and len(said) >= LEAST_WORDS:
            yield _Alike(one=group, other=group, overlap=1.0)
    groups = list(same.values())
    for pair in similar([texts[group[0]] for group in groups]):
        yield _Alike(one=groups[pair.first], other=groups[pair.second], overlap=pair.overlap)


def _prompt(conversation: Conversation) -> str:
    return next((turn.text for turn in conversation.turns if turn.role is Role.CLIENT), "")


def _replies(conversation: Conversation) -> str:
    return "\n".join(turn.text for turn in conversation.turns if turn.role is Role.THERAPIST)


def _whole(conversation: Conversation) -> str:
    return "\n".join(turn.text for turn in conversation.turns)
