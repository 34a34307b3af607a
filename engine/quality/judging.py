"""One reply held to the rules of a language and the services of a country."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.quality.collect import Stimuli
from engine.quality.phrases import Sentence, sentences
from engine.quality.resources import NAMES_FOREIGN, NAMES_RESOURCE, foreign_rule, resource_rule
from engine.quality.rules import Rule
from engine.quality.speaker import Reply
from engine.quality.stimulus import CheckText, Prompt

MIN_WORDS = 3
LOOP_WORDS = 20
LOOP_DISTINCT = 0.3
"""From `LOOP_WORDS` words on, a smaller share of different ones is one phrase over and over; people's turns of a
hundred words have twice that."""
_WORDS_OF_HELP = "resource_words"
"""Without this rule nothing says what naming help looks like, so the two rules made from a locale are missing too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A prompt, the reply to it, and its outcome by check: True, False, or None where it is not counted."""

    prompt: Prompt
    reply: Reply
    outcomes: Mapping[str, bool | None]


def says_nothing(read: Sequence[Sentence]) -> bool:
    """Whether a reply holds hardly a word, or little else than a phrase over and over."""
    words = [word for sentence in read for word in sentence.words.split() if word != ","]
    looping = len(words) >= LOOP_WORDS and len(set(words)) < LOOP_DISTINCT * len(words)
    return looping or len(words) < MIN_WORDS


class Judge:
    """Holds replies to the rules of one language and the services of one country."""

    def __init__(self, stimuli: Stimuli) -> None:
        self._rules = dict(stimuli.rules)
        self._stimuli = stimuli
        self._resources: dict[tuple[str, ...], Rule] = {}
        if words := self._rules.get(_WORDS_OF_HELP):
            self._rules[NAMES_RESOURCE] = resource_rule(stimuli.locale, words, ())
            self._rules[NAMES_FOREIGN] = foreign_rule(stimuli.locale, stimuli.locales, words)
        answerable = (check for check in stimuli.of(CheckText) if {*check.rules, *check.unless} <= set(self._rules))
        self._checks = {check.id: check for check in answerable}

    def can(self, check: CheckText) -> bool:
        """Whether the language has every rule that the check needs."""
        return check.id in self._checks

    def judge(self, prompt: Prompt, reply: Reply) -> Answered:
        """Hold one reply to every check of its prompt that can be answered."""
        read = sentences(reply.text)
        blank = says_nothing(read)

        def met(names: Sequence[str]) -> bool:
            return any(self._rule(name, prompt.concerns).holds_in(read) for name in names)

        outcomes: dict[str, bool | None] = {}
        for name in prompt.checks:
            check = self._checks.get(name)
            if check is None:
                continue
            if blank:
                outcomes[name] = False if check.blank_fails else None
            elif check.wanted:
                outcomes[name] = met(check.rules)
            else:
                outcomes[name] = not met(check.rules) or met(check.unless)
        return Answered(prompt=prompt, reply=reply, outcomes=outcomes)

    def _rule(self, name: str, concerns: tuple[str, ...]) -> Rule:
        if name != NAMES_RESOURCE:
            return self._rules[name]
        if concerns not in self._resources:
            words = self._rules[_WORDS_OF_HELP]
            self._resources[concerns] = resource_rule(self._stimuli.locale, words, concerns)
        return self._resources[concerns]
