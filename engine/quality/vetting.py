"""What the types of a stimulus cannot say: turns that alternate, and rules that do what their own sentences claim."""

from __future__ import annotations

from itertools import pairwise

from pydantic import BaseModel

from configs.errors import DataError
from engine.quality.phrases import compile_phrase
from engine.quality.rules import Rule, rule
from engine.quality.stimulus import LocaleText, Prompt, RuleText
from states.text import one_line


def vet_item(item: BaseModel, place: str) -> None:
    """Refuse an item that is well-formed and still wrong; `place` begins the message."""
    if isinstance(item, Prompt):
        _vet_turns(item, place)
    elif isinstance(item, RuleText):
        _vet_rule(item, place)
    elif isinstance(item, LocaleText):
        try:
            for name in (name for each in item.resources for name in each.names):
                compile_phrase(name)
        except ValueError as error:
            raise DataError(f"{place}: {error}.") from error


def compiled(item: RuleText) -> Rule:
    """The rule that an item describes; raises ValueError on what is no phrase."""
    return rule(item.id, item.phrases, unless=item.unless, unless_before=item.unless_before, questions=item.questions)


def _vet_turns(item: Prompt, place: str) -> None:
    roles = [turn.role for turn in item.turns]
    if roles[0] != "client" or roles[-1] != "client" or any(one == other for one, other in pairwise(roles)):
        raise DataError(f"{place}: turns must begin and end with the client, and client and therapist take turns.")


def _vet_rule(item: RuleText, place: str) -> None:
    try:
        made = compiled(item)
    except ValueError as error:
        raise DataError(f"{place}: {error}.") from error
    for text in item.yes:
        if not made.holds(text):
            raise DataError(f"{place}: does not match its own `yes` sentence: {one_line(text)}")
    for text in item.no:
        if made.holds(text):
            raise DataError(f"{place}: matches its own `no` sentence: {one_line(text)}")
