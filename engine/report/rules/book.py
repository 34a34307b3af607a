"""All rules, and the recommendations of those that fire, the gravest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from engine.report.document import Advice
from engine.report.facts import Story
from engine.report.rules import data, experts, gradients, running, training

Rule = Callable[[Story], Advice | None]
RULES: Final[tuple[Rule, ...]] = (*data.RULES, *running.RULES, *training.RULES, *gradients.RULES, *experts.RULES)
_RANK: Final = {"bad": 0, "warn": 1, "info": 2, "good": 3}


def recommend(story: Story) -> tuple[Advice, ...]:
    """What to change in the next run; empty where no rule fires.

    A setting is changed once, by the gravest rule that asks for it, and never to the value that it has.
    """
    found = [advice for rule in RULES if (advice := rule(story)) is not None]
    settled: set[str] = set()
    told = []
    for advice in sorted(found, key=lambda each: _RANK.get(each.tone, 3)):
        kept = tuple(each for each in advice.changes if each.setting not in settled and each.now != each.then)
        settled.update(each.setting for each in kept)
        told.append(replace(advice, changes=kept))
    return tuple(told)
