"""Checks of the words themselves: both roles in one turn, control tokens, refusals, bare and unreadable turns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.conversation import Conversation, Role

BOTH_ROLES: Final = Kind(
    code="both-roles",
    severity=Severity.ERROR,
    title="Turns that hold labelled words of both roles",
    remedy='The model would learn to play both sides; give each turn its own entry, or use "text" rows.',
)
STRAY_LABEL: Final = Kind(
    code="stray-label",
    severity=Severity.WARNING,
    title="Turns with a speaker's label inside",
    remedy="Look whether another turn begins there.",
)
CONTROL_TOKEN: Final = Kind(
    code="control-token",
    severity=Severity.WARNING,
    title="Turns with control tokens written out",
    remedy="They are broken with a space and trained as plain text; remove them if they are left-overs.",
)
REFUSAL: Final = Kind(
    code="refusal",
    severity=Severity.WARNING,
    title="Therapist turns that speak as an AI or refuse",
    remedy="The model would learn to answer so; remove them unless that is wanted.",
)
ONE_WORD: Final = Kind(
    code="one-word-reply",
    severity=Severity.WARNING,
    title="Therapist turns of a single word",
    remedy="They teach little but to be short.",
)
REPLACEMENT: Final = Kind(
    code="replacement-character",
    severity=Severity.WARNING,
    title="Turns with replacement characters or text decoded wrongly",
    remedy="Words were lost when the file was made; convert it again from its source as UTF-8.",
)
INVISIBLE: Final = Kind(
    code="invisible-character",
    severity=Severity.WARNING,
    title="Turns with zero-width, direction or control characters",
    remedy="They cost tokens, hide words from search and teach nothing; remove them.",
)

_THERAPIST: Final = "therapist|counselor|counsellor|assistant|psychologist"
_CLIENT: Final = "client|patient|user|human"
_LINE_LABEL: Final = re.compile(rf"^[ \t]*(?:({_THERAPIST})|({_CLIENT}))[ \t]*[:\uff1a]", re.IGNORECASE | re.MULTILINE)
# Inside a line only a capitalised label after the end of a sentence counts: "as my client: she" is a sentence.
_INNER_LABEL: Final = re.compile(
    r"(?<=[.!?])[ \t]+(?:(Therapist|Counselor|Counsellor|Assistant)|(Client|Patient|User|Human)):(?=\s)"
)
_CONTROL: Final = re.compile(
    r"<\|[A-Za-z_][\w.-]{0,40}\|>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]|</?s>"
    r"|<</?SYS>>|</?(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>"
)
_REFUSAL: Final = re.compile(
    r"\bas an? (?:AI|artificial intelligence|(?:large )?language model)\b|\bI(?:['\u2019]m| am) (?:just |only )?an? "
    r"(?:AI|artificial intelligence|language model|chatbot)\b|\bI(?:['\u2019]m sorry, but I)? "
    r"(?:cannot|can['\u2019]t|am unable to) (?:assist|help) (?:you )?with that\b|\btrained by OpenAI\b",
    re.IGNORECASE,
)
# One of them is in whatever the pattern finds; looking for words is much faster.
_REFUSAL_MARKS: Final = ("n ai", "artificial intelligence", "language model", "chatbot", " with that", "openai")
# U+200C and U+200D shape letters and emoji, so they are legitimate.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
# What UTF-8 punctuation and accents become when read as Windows-1252.
_MOJIBAKE: Final = re.compile(
    "\u00e2\u20ac[\u0153\u2122\u02dc\u009d\u00a6\u201c\u201d]|\u00c3[\u00a0-\u00bf]|\u00c2\u00a0"
)


def both_roles(conversation: Conversation) -> Iterator[Finding]:
    """A flat transcript in one turn trains the model to speak for both."""
    for number, turn in enumerate(conversation.turns, start=1):
        if ":" not in turn.text and "\uff1a" not in turn.text:
            continue
        at_line = {bool(match[1]) for match in _LINE_LABEL.finditer(turn.text)}
        inside = {bool(match[1]) for match in _INNER_LABEL.finditer(turn.text)}
        place = f"turn {number}"
        if len(at_line) == 2:
            sentence = "it holds lines labelled for the therapist and for the client."
            yield Finding(kind=BOTH_ROLES, row=conversation.row, place=place, sentence=sentence)
        elif at_line or inside:
            sentence = "a speaker's label stands inside the turn."
            yield Finding(kind=STRAY_LABEL, row=conversation.row, place=place, sentence=sentence)


def control_tokens(conversation: Conversation) -> Iterator[Finding]:
    """Control tokens of the usual chat formats, written as text."""
    for number, turn in enumerate(conversation.turns, start=1):
        if "<" not in turn.text and "[" not in turn.text:
            continue
        found = Counter(_CONTROL.findall(turn.text))
        if found:
            names = ", ".join(sorted(found)[:3])
            yield Finding(
                kind=CONTROL_TOKEN,
                row=conversation.row,
                place=f"turn {number}",
                sentence=f"{found.total()} control tokens are written out ({names}).",
            )


def refusals(conversation: Conversation) -> Iterator[Finding]:
    """Left-overs of a language model in the therapist's mouth."""
    for number, turn in enumerate(conversation.turns, start=1):
        if turn.role is not Role.THERAPIST:
            continue
        folded = turn.text.casefold()
        if any(mark in folded for mark in _REFUSAL_MARKS) and _REFUSAL.search(turn.text):
            sentence = "the therapist speaks as an AI or refuses to help."
            yield Finding(kind=REFUSAL, row=conversation.row, place=f"turn {number}", sentence=sentence)


def bare_replies(conversation: Conversation) -> Iterator[Finding]:
    """Therapist turns of one word."""
    for number, turn in enumerate(conversation.turns, start=1):
        if turn.role is Role.THERAPIST and len(turn.text.split(None, 1)) < 2:
            sentence = "the therapist says one word."
            yield Finding(kind=ONE_WORD, row=conversation.row, place=f"turn {number}", sentence=sentence)


def characters(conversation: Conversation) -> Iterator[Finding]:
    """Characters that are lost, or there without being seen."""
    for number, turn in enumerate(conversation.turns, start=1):
        text, place = turn.text, f"turn {number}"
        if not text.isascii():
            lost = text.count("\ufffd")
            garbled = len(_MOJIBAKE.findall(text))
            if lost or garbled:
                sentence = f"{lost} replacement characters and {garbled} wrongly decoded ones."
                yield Finding(kind=REPLACEMENT, row=conversation.row, place=place, sentence=sentence)
        # None of them is printable; asking that is much faster than looking for each.
        unseen = Counter(() if text.replace("\n", "").isprintable() else _INVISIBLE.findall(text))
        if unseen:
            names = ", ".join(f"U+{ord(each):04X}" for each in sorted(unseen)[:4])
            sentence = f"{unseen.total()} invisible characters ({names})."
            yield Finding(kind=INVISIBLE, row=conversation.row, place=place, sentence=sentence)
