"""What a reply says, found by phrases: named rules with negation, each proven on sentences for and against it.

A rule reads text and nothing else. It does not know tone, truth or timing, and a reply that meets it is not yet care.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.quality.phrases import Sentence, compile_phrase, sentences

WINDOW_WORDS = 8
"""How far before a phrase a negation reaches, within its clause."""

_CLAUSE = re.compile(r" (?:,|but|however|though|although|so|because|then) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Phrases, what voids them, and which sentences they are looked for in."""

    id: str
    phrases: tuple[re.Pattern[str], ...]
    unless: tuple[re.Pattern[str], ...] = ()
    """Anywhere in the same sentence: the rule does not hold there."""
    unless_before: tuple[re.Pattern[str], ...] = ()
    """In the same clause, within `WINDOW_WORDS` before the phrase: that one does not count."""
    questions: bool | None = None
    """True: only in questions; False: never in them."""

    def holds(self, text: str) -> bool:
        """Whether some sentence of `text` says it."""
        return self.holds_in(sentences(text))

    def holds_in(self, read: Sequence[Sentence]) -> bool:
        """The same of a text that was read into sentences."""
        return any(self._said(sentence) for sentence in read)

    def _said(self, sentence: Sentence) -> bool:
        if self.questions is not None and sentence.question is not self.questions:
            return False
        words = sentence.words
        if any(each.search(words) for each in self.unless):
            return False
        return any(
            not negated(words, match.start(), match.end(), self.unless_before)
            for each in self.phrases
            for match in _overlapping(each, words)
        )


def negated(words: str, start: int, end: int, negations: Iterable[re.Pattern[str]]) -> bool:
    """Whether a negation begins before `start` in the same clause, near enough to mean what stands up to `end`.

    It may reach into the phrase, as `not have to call` does into `call an ambulance`.
    """
    clause = _CLAUSE.split(f"{words[:start]} ")[-1]
    before = f" {' '.join(clause.split()[-WINDOW_WORDS:])}"
    text = f"{before}{words[start:end]} "
    return any(match.start() < len(before) for each in negations for match in each.finditer(text))


def rule(
    id: str,
    phrases: Iterable[str],
    *,
    unless: Iterable[str] = (),
    unless_before: Iterable[str] = (),
    questions: bool | None = None,
) -> Rule:
    """Make a rule of phrases; raises ValueError on what is no phrase."""
    return Rule(
        id=id,
        phrases=tuple(map(compile_phrase, phrases)),
        unless=tuple(map(compile_phrase, unless)),
        unless_before=tuple(map(compile_phrase, unless_before)),
        questions=questions,
    )


def _overlapping(pattern: re.Pattern[str], words: str) -> Iterable[re.Match[str]]:
    """Every match by its start: a voided one must not hide a later one that begins inside it."""
    place = 0
    while (match := pattern.search(words, place)) is not None:
        yield match
        place = match.start() + 1
