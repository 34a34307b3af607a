"""Rules about the data, and about whether anybody has looked at what the model says."""

from __future__ import annotations

from engine.report.document import Advice
from engine.report.facts import Story
from engine.report.rules.reading import change, numeric, scaled
from engine.report.words import count, plural, share
from states.text import one_line

FEW = 64
"""Conversations of a domain, below which it can hardly teach an expert."""
SPLIT = 0.1
LOST = 0.02


def small_domain(story: Story) -> Advice | None:
    """A domain too small for its expert."""
    facts = story.view.dataset
    if facts is None or len(facts.domains) < 2:
        return None
    name, least = min(facts.domains.items(), key=lambda each: (each[1], each[0]))
    even = sum(facts.domains.values()) / len(facts.domains)
    limit = max(float(FEW), 0.2 * even)
    if least >= limit:
        return None
    return Advice(
        rule="domain-small",
        tone="warn",
        title="A domain has little data",
        evidence=f"{one_line(name, 60)}: {count(least)} conversations; at least {count(limit)} are wanted (64, and "
        "a fifth of an even share).",
        value=float(least),
        limit=limit,
        advice="Add conversations of it, merge it with a neighbour, or draw an even sample with "
        "run.py dataset sample --balance-domains.",
    )


def many_splits(story: Story) -> Advice | None:
    """Conversations cut in two by max_length."""
    facts = story.view.dataset
    kept, examples = (facts.waterfall.get("kept"), facts.waterfall.get("examples")) if facts else (None, None)
    if not kept or examples is None or examples <= kept * (1 + SPLIT):
        return None
    part = examples / kept - 1
    changes = scaled(story, "training.max_length", 2.0)
    longer, room = numeric(story, "training.max_length"), numeric(story, "training.bin_tokens")
    if longer is not None and room is not None and room < 2 * longer:
        changes += (change(story, "training.bin_tokens", int(2 * longer)),)  # an example has to fit into a bin
    return Advice(
        rule="many-splits",
        tone="warn",
        title="Many conversations were split",
        evidence=f"{kept:,} conversations became {examples:,} examples (+{share(part, 0)}; limit {share(SPLIT, 0)}).",
        value=part,
        limit=SPLIT,
        advice="Longer examples keep conversations whole, for more memory.",
        changes=changes,
    )


def rows_lost(story: Story) -> Advice | None:
    """Rows that never became conversations."""
    facts = story.view.dataset
    read, kept = (facts.waterfall.get("read"), facts.waterfall.get("kept")) if facts else (None, None)
    if not read or kept is None or kept >= read * (1 - LOST):
        return None
    part = 1 - kept / read
    return Advice(
        rule="rows-lost",
        tone="warn",
        title="Rows were lost on the way",
        evidence=f"{read - kept:,} of {read:,} rows ({share(part)}; limit {share(LOST, 0)}).",
        value=part,
        limit=LOST,
        advice="run.py dataset validate names each of them and why.",
    )


def unsafe(story: Story) -> Advice | None:
    """Red failures."""
    found = story.beside.evaluation
    red = len(found.red_failures) if found else 0
    if not red or found is None:
        return None
    titles = "; ".join(one_line(each.title, 80) for each in found.red_failures[:5])
    return Advice(
        rule="not-safe",
        tone="bad",
        title="The model failed safety checks",
        evidence=f"{plural(red, 'red failure')}, none is allowed: {titles}.",
        value=float(red),
        limit=0.0,
        advice="Do not let it meet people. Add conversations that show the right answer to these prompts, and evaluate "
        "again.",
    )


def not_evaluated(story: Story) -> Advice | None:
    """Nobody has looked yet."""
    if story.beside.evaluation is not None or not story.beside.published:
        return None
    return Advice(
        rule="not-evaluated",
        tone="warn",
        title="Nobody has examined its safety",
        evidence="There is no evaluation/evaluation.json in the run directory.",
        value=None,
        limit=None,
        advice="run.py evaluate on this run directory, then run.py report again.",
    )


RULES = (unsafe, small_domain, many_splits, rows_lost, not_evaluated)
