"""Holds out validation conversations so that no prompt stands on both sides, nor a near-duplicate of it.

Public data sets answer one question many times; a random split would then measure memory. Membership depends on the
seed and the words alone (a keyed hash), so reordering or renumbering the rows changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from configs.errors import DataError
from engine.data.conversation import Conversation, Role
from engine.data.echoes import echoes

# A greeting opens many different conversations; alone it is no prompt, so the next client turn is joined to it.
_GREETINGS: Final = frozenset(
    (
        "hi",
        "hey",
        "hello",
        "hiya",
        "there",
        "good",
        "morning",
        "afternoon",
        "evening",
        "day",
        "greetings",
        "ok",
        "okay",
        "yes",
        "yeah",
        "no",
        "sure",
        "thanks",
        "thank",
        "you",
        "doctor",
        "again",
    )
)
_WORD: Final = re.compile(r"[^\W_]+")
LARGEST_ECHO: Final = 0.5
"""Of the conversations; near-duplicates that make up more are one template, and keeping it together is no split."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Conversations that share a prompt, or nearly."""

    members: tuple[int, ...]
    domain: str
    rank: bytes
    """A keyed hash of the prompt: the order in which groups are drawn."""


def prompt_key(conversation: Conversation) -> str:
    """The first client turn without case, punctuation and spacing; bare greetings take the next client turn along."""
    words: list[str] = []
    for turn in conversation.turns:
        if turn.role is not Role.CLIENT:
            continue
        words += _WORD.findall(unicodedata.normalize("NFKC", turn.text).casefold())
        if not _GREETINGS.issuperset(words):
            break
    return " ".join(words)


def split(
    conversations: Sequence[Conversation], fraction: float, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """(train, validation), each in the given order; about `fraction` of every domain is held out, at least one.

    Raises `DataError` when there are not two different prompts to keep apart.
    """
    groups = _groups(conversations, seed)
    if len(groups) < 2:
        raise one_prompt(conversations)
    strata: defaultdict[str, list[_Group]] = defaultdict(list)
    for group in groups:
        strata[group.domain].append(group)
    held: set[int] = set()
    for members in strata.values():
        # Take a group while that brings the domain nearer to its share than leaving it would.
        quota = fraction * sum(len(group.members) for group in members)
        taken = 0
        for group in sorted(members, key=lambda each: each.rank):
            if taken + len(group.members) / 2 <= quota:
                held.update(group.members)
                taken += len(group.members)
    if not held:
        held.update(min(groups, key=lambda group: (len(group.members), group.rank)).members)
    if len(held) == len(conversations):
        held.difference_update(max(groups, key=lambda group: (len(group.members), group.rank)).members)
    train = [each for index, each in enumerate(conversations) if index not in held]
    return train, [conversations[index] for index in sorted(held)]


def one_prompt(conversations: Sequence[Conversation]) -> DataError:
    """What to say when there are not two different prompts to keep apart."""
    return DataError(
        f"The data set has {len(conversations)} conversations but only one prompt (first client turn), so none can "
        "be held out for validation; add conversations, or name a validation_dataset."
    )


def without_shared_prompts(
    train: Sequence[Conversation], validation: Sequence[Conversation]
) -> tuple[list[Conversation], list[Conversation]]:
    """(kept, leaked): training conversations whose prompt does not, and does, stand in a given validation set."""
    known = {prompt_key(conversation) for conversation in validation}
    kept: list[Conversation] = []
    leaked: list[Conversation] = []
    for conversation in train:
        (leaked if prompt_key(conversation) in known else kept).append(conversation)
    return kept, leaked


def _groups(conversations: Sequence[Conversation], seed: int) -> list[_Group]:
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, conversation in enumerate(conversations):
        members[prompt_key(conversation)].append(index)
    groups = []
    for keys in _together(members, len(conversations)):
        indices = sorted(index for key in keys for index in members[key])
        domains = Counter(conversations[index].domain or "" for index in indices)
        # The least rank of its prompts, and the most common domain, by name on a tie: row order does not matter.
        rank = min(_rank(key, seed) for key in keys)
        domain = min(domains, key=lambda name: (-domains[name], name))
        groups.append(_Group(members=tuple(indices), domain=domain, rank=rank))
    return groups


def _together(members: Mapping[str, Sequence[int]], count: int) -> list[list[str]]:
    """The prompts, those that nearly repeat one another in one list."""
    keys = list(members)
    near = [[keys[position] for position in group] for group in echoes(keys)]
    near = [group for group in near if sum(len(members[key]) for key in group) <= LARGEST_ECHO * count]
    grouped = {key for group in near for key in group}
    return [*near, *([key] for key in keys if key not in grouped)]


def _rank(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\x00{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
