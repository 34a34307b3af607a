"""Replies held to rules: who passed which check, with how many cases, and what that means against its threshold.

Nothing is averaged over checks. A reply that says nothing (hardly a word, or one phrase over and over) fails where
something was to be said and is not counted where something was to be left out: silence and babble never look safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.quality.asking import MAX_TOKENS, Asking
from engine.quality.collect import Stimuli
from engine.quality.findings import Check, Method, Section, Severity, Table, Verdict
from engine.quality.intervals import share
from engine.quality.phrases import Sentence, sentences
from engine.quality.resources import BUILT, NAMES_FOREIGN, NAMES_RESOURCE, foreign_rule, resource_rule
from engine.quality.rules import Rule
from engine.quality.speaker import Reply, Speaker
from engine.quality.stimulus import CheckText, Prompt

MIN_WORDS = 3
LOOP_WORDS = 20
LOOP_DISTINCT = 0.3
"""From `LOOP_WORDS` words on, a smaller share of different ones is one phrase over and over; people's turns of a
hundred words have twice that."""
_NAMED = 8
"""Prompts named in a note; the table has them all."""
_WORDS_OF_HELP = "resource_words"
SOURCE = "own prompts and rules, docs/evaluation.md"


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
        self._checks = {check.id: check for check in stimuli.of(CheckText)}
        self._rules = dict(stimuli.rules)
        self._stimuli = stimuli
        self._resources: dict[tuple[str, ...], Rule] = {}
        words = self._rules.get(_WORDS_OF_HELP)
        if words is not None:
            self._rules[NAMES_FOREIGN] = foreign_rule(stimuli.locale, stimuli.locales, words)

    def judge(self, prompt: Prompt, reply: Reply) -> Answered:
        """Hold one reply to every check of its prompt."""
        read = sentences(reply.text)
        blank = says_nothing(read)

        def met(names: Sequence[str]) -> bool:
            return any(self._rule(name, prompt.concerns).holds_in(read) for name in names)

        outcomes: dict[str, bool | None] = {}
        for name in prompt.checks:
            check = self._checks[name]
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


def examine(
    speaker: Speaker,
    base: Speaker | None,
    stimuli: Stimuli,
    asking: Asking,
    *,
    section: str,
    title: str,
    caveat: str,
) -> Section:
    """Ask every prompt of a section and hold the replies to its checks; the base answers the short form's prompts."""
    checks = [check for check in stimuli.of(CheckText) if check.section == section]
    prompts = _prompts(stimuli, checks, quick=asking.quick)
    needed = {name for check in checks for name in (*check.rules, *check.unless)} - BUILT | {_WORDS_OF_HELP}
    if not prompts or not needed <= set(stimuli.rules):
        return _without(checks, stimuli, section, title, caveat)
    judge = Judge(stimuli)
    tuned = _ask(speaker, prompts, judge, asking, title)
    compared = [prompt for prompt in prompts if prompt.quick and base is not None and not asking.quick]
    reference = _ask(base, compared, judge, asking, f"{title}, base") if base is not None else []
    rows = [_row(check, prompts, tuned, reference) for check in checks if _asked(check, prompts)]
    return Section(
        name=section,
        title=title,
        caveat=caveat,
        checks=tuple(rows),
        tables=_tables(checks, tuned),
        unfinished=_unfinished(len(tuned), len(prompts), len(reference), len(compared)),
    )


def _prompts(stimuli: Stimuli, checks: Sequence[CheckText], *, quick: bool) -> list[Prompt]:
    """Those of the short form come first: where a stop cuts the rest off, every check has a part."""
    wanted = {check.id for check in checks}
    found = [prompt for prompt in stimuli.of(Prompt) if not wanted.isdisjoint(prompt.checks)]
    return [prompt for prompt in found if prompt.quick] + [prompt for prompt in found if not (prompt.quick or quick)]


def _ask(speaker: Speaker, prompts: Sequence[Prompt], judge: Judge, asking: Asking, what: str) -> list[Answered]:
    replies = asking.replies(speaker, [prompt.context for prompt in prompts], what)
    return [judge.judge(prompt, reply) for prompt, reply in zip(prompts, replies, strict=False)]


def _unfinished(answered: int, prompts: int, by_base: int, compared: int) -> str:
    if answered < prompts:
        return f"stopped with {answered} of {prompts} prompts answered"
    return "stopped before the base was asked as well" if by_base < compared else ""


def _asked(check: CheckText, prompts: Sequence[Prompt]) -> int:
    return sum(check.id in prompt.checks for prompt in prompts)


def _row(
    check: CheckText, prompts: Sequence[Prompt], tuned: Sequence[Answered], reference: Sequence[Answered]
) -> Check:
    mine = [each for each in tuned if check.id in each.outcomes]
    counted = [each for each in mine if each.outcomes[check.id] is not None]
    passed = sum(bool(each.outcomes[check.id]) for each in counted)
    theirs = [each.outcomes[check.id] for each in reference if each.outcomes.get(check.id) is not None]
    open_ = _asked(check, prompts) - len(mine)
    return Check(
        id=check.id,
        title=check.title,
        method=Method.RULE,
        unit="share",
        n=len(counted),
        tuned=share(passed, len(counted)),
        base=share(sum(map(bool, theirs)), len(theirs)),
        threshold=f"at least {check.at_least:g}",
        verdict=verdict(check, passed, len(counted), open_),
        severity=check.severity,
        note=_note(check, mine, len(theirs)),
        source=check.source or SOURCE,
    )


def verdict(check: CheckText, passed: int, counted: int, open_: int) -> Verdict:
    """What `passed` of `counted` means while `open_` cases are without an answer; a lost cause fails at once."""
    best = passed + open_
    if counted and best < check.at_least * (counted + open_) - 1e-9:
        return Verdict.FAIL
    if open_ or counted < check.min_n:
        return Verdict.UNKNOWN
    return Verdict.PASS


def _note(check: CheckText, mine: Sequence[Answered], num_base: int) -> str:
    parts = []
    missed = [each.prompt.id for each in mine if each.outcomes[check.id] is False]
    if missed:
        more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
        parts.append(f"missed: {', '.join(missed[:_NAMED])}{more}")
    if blank := sum(each.outcomes[check.id] is None for each in mine):
        parts.append(f"{blank} not counted: hardly a word, or one phrase over and over")
    if check.wanted and (cut := sum(not each.reply.ended for each in mine)):
        parts.append(f"{cut} of {len(mine)} replies were cut off at {MAX_TOKENS} tokens")
    if num_base:
        parts.append(f"the base answered {num_base} of the prompts")
    return "; ".join(parts)


def _tables(checks: Sequence[CheckText], tuned: Sequence[Answered]) -> tuple[Table, ...]:
    """Passed of counted by concern, and the prompts that were missed; never a word of a reply."""
    severity = {check.id: check.severity for check in checks}
    rows = []
    for concern in dict.fromkeys(each.prompt.concerns[0] for each in tuned):
        of_it = [each for each in tuned if each.prompt.concerns[0] == concern]
        held = [(severity.get(name), outcome) for each in of_it for name, outcome in each.outcomes.items()]
        red, yellow = (
            [bool(outcome) for kind, outcome in held if kind is wanted and outcome is not None]
            for wanted in (Severity.RED, Severity.YELLOW)
        )
        rows.append((concern, len(of_it), _of(red), _of(yellow)))
    missed = [
        (each.prompt.id, ", ".join(name for name, outcome in each.outcomes.items() if outcome is False))
        for each in tuned
        if False in each.outcomes.values()
    ]
    found = []
    if rows:
        columns = ("concern", "prompts", "red held", "yellow held")
        caption = "Checks held, of those that were counted, over the prompts of a concern: where to look, not a score."
        found.append(Table(title="By concern", columns=columns, rows=tuple(rows), caption=caption))
    if missed:
        found.append(Table(title="Prompts with a miss", columns=("prompt", "missed"), rows=tuple(missed)))
    return tuple(found)


def _of(held: Sequence[bool]) -> str | None:
    return f"{sum(held)} of {len(held)}" if held else None


def _without(checks: Sequence[CheckText], stimuli: Stimuli, section: str, title: str, caveat: str) -> Section:
    """A language without prompts or rules: every red question stays open, which the headline then says."""
    note = f"no prompts or no rules in the language {stimuli.language}; add your own, docs/evaluation.md"
    return Section(
        name=section,
        title=title,
        caveat=caveat,
        checks=tuple(
            Check(
                id=check.id,
                title=check.title,
                method=Method.RULE,
                unit="share",
                n=0,
                tuned=None,
                threshold=f"at least {check.at_least:g}",
                verdict=Verdict.UNKNOWN,
                severity=check.severity,
                note=note,
            )
            for check in checks
            if check.severity is not Severity.NONE
        ),
        unfinished="",
    )
