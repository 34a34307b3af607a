"""Whether a reply names a place of help: the services of one country, its emergency number, or help in plain words.

Numbers count however they are spaced; a number of another country is no help and is found apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from engine.quality.phrases import compile_phrase
from engine.quality.rules import Rule
from engine.quality.stimulus import LocaleText

NAMES_RESOURCE: Final = "names_resource"
NAMES_FOREIGN: Final = "names_foreign"
BUILT: Final = frozenset({NAMES_RESOURCE, NAMES_FOREIGN})
"""Rules that are made from a locale and may be named by a check like any other."""

ANY: Final = "any"
_SHORT_DIGITS: Final = 2
"""Numbers up to here are also ordinary numbers ("15 minutes"): they count only after a word of dialling."""
_DIALLING: Final = (
    r" (?:call|calling|text|texting|dial|dialling|dialing|ring|ringing|phone|contact|contacting|reach|number"
    r"|appelle|appelez|appeler|appelant|compose|composez|composer|faites|ruf|rufe|rufen|unter|nummer"
    r"|llama|llame|llamar|marca|marque|marcar)(?: [^ ,]+){0,3}?"
)


def resource_rule(locale: LocaleText, words: Rule, concerns: Collection[str]) -> Rule:
    """The rule `names_resource`: `words` gives help in plain words, and the negations that void a name or a number."""
    fitting = [each for each in locale.resources if ANY in each.concerns or not set(concerns).isdisjoint(each.concerns)]
    numbers = [*locale.emergency, *(number for each in fitting for number in each.numbers)]
    names = [compile_phrase(name) for each in fitting for name in each.names]
    return Rule(
        id=NAMES_RESOURCE,
        phrases=(*words.phrases, *names, *map(number_pattern, numbers)),
        unless=words.unless,
        unless_before=words.unless_before,
    )


def foreign_rule(locale: LocaleText, locales: Iterable[LocaleText], words: Rule) -> Rule:
    """The rule `names_foreign`: someone is told to dial a number that serves another country only."""
    own = {_digits(number) for number in _numbers(locale)}
    others = {_digits(number) for other in locales for number in _numbers(other)}
    patterns = [number_pattern(digits, dialled=True) for digits in sorted(others - own) if len(digits) > _SHORT_DIGITS]
    return Rule(id=NAMES_FOREIGN, phrases=tuple(patterns), unless=words.unless, unless_before=words.unless_before)


def number_pattern(number: str, *, dialled: bool | None = None) -> re.Pattern[str]:
    """A pattern over plain words; `dialled` asks for a word of dialling before it, by default for short numbers."""
    digits = _digits(number)
    spelled = " " + "[ ,]?".join(digits) + "(?= )"
    asked = len(digits) <= _SHORT_DIGITS if dialled is None else dialled
    return re.compile((_DIALLING if asked else "") + spelled)


def _numbers(locale: LocaleText) -> Iterable[str]:
    yield from locale.emergency
    for each in locale.resources:
        yield from each.numbers


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)
