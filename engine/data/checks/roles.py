"""Swapped roles: the therapist's questions under the client's label, and the client's story under the therapist's.

A heuristic on both sides at once: clients speak of themselves, therapists speak to "you". It needs enough words of each
and a clear difference, because a warning that is often wrong is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.conversation import Conversation, Role

SWAPPED: Final = Kind(
    code="swapped-roles",
    severity=Severity.WARNING,
    title="Conversations whose roles look swapped",
    remedy="The model would learn to be the client; exchange the labels if so.",
)
_SELF: Final = re.compile(r"\b(?:I|[Mm]e|[Mm]y|[Mm]yself|[Mm]ine)\b")
_YOU: Final = re.compile(r"\b(?:[Yy]ou|[Yy]our|[Yy]ourself|[Yy]ours)\b")
_QUESTION: Final = re.compile(r"\b(?:[Yy]ou|[Yy]our|[Yy]ourself)\b[^.?!\n]{0,200}\?")
_LEAST_WORDS: Final = 12
_LEAST_SELF: Final = 3


def swapped_roles(conversation: Conversation) -> Iterator[Finding]:
    """Whether each side speaks as the other should."""
    client = _said(conversation, Role.CLIENT)
    # What decides most conversations is asked first.
    if "?" not in client or not _QUESTION.search(client):
        return
    therapist = _said(conversation, Role.THERAPIST)
    if _QUESTION.search(therapist) or min(len(client.split()), len(therapist.split())) < _LEAST_WORDS:
        return
    of_self, of_you = len(_SELF.findall(therapist)), len(_YOU.findall(therapist))
    if of_self < _LEAST_SELF or of_self <= 2 * of_you:
        return
    if len(_YOU.findall(client)) > len(_SELF.findall(client)):
        sentence = "the client asks about you, and the therapist tells about I and my."
        yield Finding(kind=SWAPPED, row=conversation.row, sentence=sentence)


def _said(conversation: Conversation, role: Role) -> str:
    return "\n".join(turn.text for turn in conversation.turns if turn.role is role)
