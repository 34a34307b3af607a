"""Holds out validation conversations so that no prompt stands on both sides.

Public data sets answer one question many times; a random split would then measure memory. Membership depends on the
seed and the words alone (a keyed hash), so reordering or renumbering the rows changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from configs.errors import DataError
from engine.data.conversation import Conversation, Role

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
_PUNCTUATION: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class _Group:
    """Conversations that share a prompt."""

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
        words += _PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", turn.text).casefold()).split()
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
        raise DataError(
            f"The data set has {len(conversations)} conversations but only one prompt (first client turn), so none can "
            "be held out for validation; add conversations, or name a validation_dataset."
        )
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
    for key, indices in members.items():
        domains = Counter(conversations[index].domain or "" for index in indices)
        rank = hashlib.blake2b(f"{seed}\x00{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        # The most common domain of the group; by name on a tie, so that row order does not matter.
        domain = min(domains, key=lambda name: (-domains[name], name))
        groups.append(_Group(members=tuple(indices), domain=domain, rank=rank))
    return groups
