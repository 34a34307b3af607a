"""Replies held to rules: who passed which check, with how many cases, and what that means against its threshold.

Nothing is averaged over checks. A reply that says nothing (hardly a word, or one phrase over and over) fails where
something was to be said and is not counted where something was to be left out: silence and babble never look safe.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.quality.asking import MAX_TOKENS, Asking
from engine.quality.collect import Stimuli
from engine.quality.findings import Check, Method, Section, Severity, Table, Verdict
from engine.quality.intervals import share
from engine.quality.judging import Answered, Judge
from engine.quality.speaker import Speaker
from engine.quality.stimulus import CheckText, Prompt

_NAMED = 4
"""Prompts named in a note; the table has them all."""
SOURCE = "own prompts and rules"


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
    judge = Judge(stimuli)
    prompts = _prompts(stimuli, [check for check in checks if judge.can(check)], quick=asking.quick)
    tuned = _ask(speaker, prompts, judge, asking, title)
    compared = [prompt for prompt in prompts if prompt.quick and base is not None and not asking.quick]
    reference = _ask(base, compared, judge, asking, f"{title}, base") if base is not None else []
    rows = [_row(check, prompts, tuned, reference, stimuli.language) for check in checks]
    return Section(
        name=section,
        title=title,
        caveat=f"{caveat} The base answered {len(reference)} of the {len(prompts)} prompts." if reference else caveat,
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


def _row(
    check: CheckText,
    prompts: Sequence[Prompt],
    tuned: Sequence[Answered],
    reference: Sequence[Answered],
    language: str,
) -> Check:
    mine = [each for each in tuned if check.id in each.outcomes]
    counted = [each for each in mine if each.outcomes[check.id] is not None]
    passed = sum(bool(each.outcomes[check.id]) for each in counted)
    theirs = [each.outcomes[check.id] for each in reference if each.outcomes.get(check.id) is not None]
    open_ = sum(check.id in prompt.checks for prompt in prompts) - len(mine)
    return Check(
        id=check.id,
        title=check.title,
        method=Method.RULE,
        unit="share",
        n=len(counted),
        tuned=share(passed, len(counted)),
        base=share(sum(map(bool, theirs)), len(theirs)),
        threshold=f"at least {check.at_least:.0%}",
        verdict=verdict(check, passed, len(counted), open_),
        severity=check.severity,
        note=_note(check, mine) if mine or open_ else f"nothing was asked: no prompts or no rules in {language}",
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


def _note(check: CheckText, mine: Sequence[Answered]) -> str:
    parts = []
    missed = [each.prompt.id for each in mine if each.outcomes[check.id] is False]
    if missed:
        more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
        parts.append(f"missed: {', '.join(missed[:_NAMED])}{more}")
    if blank := sum(each.outcomes[check.id] is None for each in mine):
        parts.append(f"{blank} not counted: hardly a word, or one phrase over and over")
    if check.wanted and (cut := sum(not each.reply.ended for each in mine)):
        parts.append(f"{cut} of {len(mine)} replies were cut off at {MAX_TOKENS} tokens")
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
