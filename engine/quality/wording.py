"""Counts in generated text: repetition, variety, length, and whether a reply goes on in somebody else's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_NAMES = "client|patient|user|human|therapist|counselor|counsellor|assistant"
_LABEL = re.compile(rf"^[ \t]*(?:{_NAMES})[ \t]*:", re.IGNORECASE | re.MULTILINE)
_INLINE = re.compile(rf"\b(?:{'|'.join(name.capitalize() for name in _NAMES.split('|'))}):")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def words(text: str) -> list[str]:
    """Its words, without case and punctuation."""
    return _WORD.findall(text.casefold())


def leaks_role(text: str, plain: Callable[[str], str]) -> bool:
    """Whether a reply speaks for a person by a label, or writes control tokens of the template.

    `plain` breaks control tokens, so a text that it changes holds some.
    """
    return bool(_LABEL.search(text) or _INLINE.search(text)) or plain(text) != text


def repetition(text: str, size: int = 4) -> float | None:
    """Share of its word n-grams that occurred before in the same reply; None for a shorter reply."""
    grams = _grams(words(text), size)
    return 1 - len(set(grams)) / len(grams) if grams else None


def distinct(texts: Sequence[str], size: int = 2) -> float | None:
    """Different word n-grams over all n-grams of all texts (Li et al. 2016, N16-1014); falls with the number of texts.

    None where there are none.
    """
    grams = [gram for text in texts for gram in _grams(words(text), size)]
    return len(set(grams)) / len(grams) if grams else None


def _grams(found: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(found[start : start + size]) for start in range(len(found) - size + 1)]
