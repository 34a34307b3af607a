"""The data as the trainer saw it: what was lost on the way, how long examples are, what each domain teaches."""

from __future__ import annotations

from engine.report.chart import Bar, BarChart, Histogram
from engine.report.document import Block, Bullets, Cell, Figure, Notice, Pairs, Section, Table
from engine.report.facts import Story
from engine.report.words import count, share
from states.text import one_line
from states.view import Dataset

_STAGES = {
    "read": "rows read",
    "parsed": "parsed as conversations",
    "kept": "kept",
    "examples": "examples after splitting",
    "tokens": "tokens",
    "targets": "target tokens",
}
MOST_DOMAINS = 60
MOST_NOTES = 40


def data(story: Story) -> Section:
    """The chapter on the data set."""
    facts = story.view.dataset
    if facts is None:
        text = "The data was not prepared in this run, so nothing is known of it."
        return Section(id="data", title="Data", blocks=(Notice(text=text),))
    blocks: list[Block] = [_sides(facts)]
    if facts.waterfall:
        blocks.append(_waterfall(facts))
    if facts.length_counts and len(facts.length_edges) in {len(facts.length_counts), len(facts.length_counts) + 1}:
        chart = Histogram(
            edges=tuple(map(float, facts.length_edges)), counts=facts.length_counts, x_label="tokens per example"
        )
        blocks.append(Figure(title="Length of the training examples", chart=chart))
    if facts.domains:
        blocks.append(_domains(facts))
    if facts.notes:
        notes = tuple(one_line(note, 300) for note in facts.notes[:MOST_NOTES])
        more = len(facts.notes) - len(notes)
        blocks.append(Bullets(items=(*notes, *([f"{more:,} more in the journal."] if more else [])), title="Remarks"))
    return Section(id="data", title="Data", blocks=tuple(blocks))


def _sides(facts: Dataset) -> Pairs:
    carried = facts.train_targets / facts.train_tokens if facts.train_tokens else None
    mean = facts.train_tokens / facts.train_conversations if facts.train_conversations else None
    return Pairs(
        rows=(
            ("Training conversations", count(facts.train_conversations)),
            ("Validation conversations", count(facts.eval_conversations)),
            ("Training tokens, one epoch", count(facts.train_tokens)),
            ("Tokens that carry loss", f"{count(facts.train_targets)} ({share(carried)})"),
            ("Validation targets", count(facts.eval_targets)),
            ("Tokens a conversation, mean", count(mean)),
        )
    )


def _waterfall(facts: Dataset) -> Figure:
    bars = [
        Bar(label=_STAGES.get(name, one_line(name, 30)), values=(float(number),))
        for name, number in facts.waterfall.items()
        if name not in {"tokens", "targets"}
    ]
    tokens, targets = facts.waterfall.get("tokens"), facts.waterfall.get("targets")
    told = ""
    if tokens and targets is not None:
        told = f"They hold {tokens:,} tokens, of which {targets:,} ({share(targets / tokens)}) carry loss."
    return Figure(
        title="From rows to examples",
        chart=BarChart(names=("rows",), bars=tuple(bars), value_format=",.0f"),
        caption=f"Training and validation together. {told}".strip(),
    )


def _domains(facts: Dataset) -> Table:
    total = sum(facts.domains.values()) or 1
    targets = sum(facts.domain_targets.values())
    taught = bool(targets)
    rows = []
    for name, number in sorted(facts.domains.items(), key=lambda each: (-each[1], each[0]))[:MOST_DOMAINS]:
        row = [Cell(text=one_line(name, 60)), Cell(text=count(number)), Cell(text=share(number / total))]
        if taught:
            its = facts.domain_targets.get(name, 0)
            row += [Cell(text=count(its)), Cell(text=share(its / targets))]
        rows.append(tuple(row))
    extra = ("target tokens", "share") if taught else ()
    return Table(
        title="Domains of the training data",
        columns=("domain", "conversations", "share", *extra),
        rows=tuple(rows),
        right=tuple(range(1, 3 + len(extra))),
    )
