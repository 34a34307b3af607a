"""What the model is worth: loss before and after by domain, and everything an evaluation found, failures first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from engine.quality.findings import Check, Evaluation, Measure, Severity, Verdict
from engine.quality.findings import Section as FoundSection
from engine.quality.findings import Table as FoundTable
from engine.report.document import Block, Bullets, Cell, Notice, Pairs, Section, Table
from engine.report.facts import Story
from engine.report.words import change, count, instant, loss, plural, ppl, sentence
from states.text import one_line
from states.wording import duration

_ORDER = {Verdict.FAIL: 0, Verdict.UNKNOWN: 1, Verdict.PASS: 2, Verdict.INFO: 3}
_SEVERE = {Severity.RED: 0, Severity.YELLOW: 1, Severity.NONE: 2}
_TONES = {Verdict.PASS: "good", Verdict.INFO: "", Verdict.UNKNOWN: "warn"}
_FRACTIONS = {"share", "rate"}
MOST_ROWS = 200
JSON = "evaluation.json"
Value: TypeAlias = str | float | None


def quality(story: Story) -> Section:
    """The chapter on model quality."""
    losses = _losses(story)
    blocks: list[Block] = [losses] if losses else []
    found = story.beside.evaluation
    if found is None:
        why = sentence(story.beside.evaluation_problem or "This model was not evaluated for safety.")
        blocks.append(
            Notice(
                text=f"{why} Nothing here says whether it may meet people: it must not be used with people in "
                "distress. run.py evaluate on this run directory fills this chapter.",
                tone="bad",
            )
        )
        return Section(id="quality", title="Model quality", blocks=tuple(blocks))
    return Section(id="quality", title="Model quality", blocks=(*_headline(found), *blocks, *_all_checks(found)))


def _losses(story: Story) -> Table | None:
    base, tuned = story.base, story.tuned
    if tuned is None:
        return None
    names = sorted({*tuned.domains, *(base.domains if base else {})})
    rows = [_loss_row("all", base.loss if base else None, tuned.loss, strong=True)]
    if len(names) > 1:
        rows += [_loss_row(name, base.domains.get(name) if base else None, tuned.domains.get(name)) for name in names]
    scope = (
        "the whole validation set"
        if tuned.scope == "full"
        else "the validation subset that is used in training; the untouched model was measured on all of it"
    )
    return Table(
        title="Validation loss, untouched base against tuned",
        columns=("domain", "loss, base", "loss, tuned", "change", "perplexity, base", "perplexity, tuned"),
        rows=tuple(rows),
        right=(1, 2, 3, 4, 5),
        caption=f"Nats per target token over {scope}; tuned is the model of step {tuned.step:,}, "
        f"{count(tuned.targets)} targets.",
    )


def _loss_row(name: str, before: float | None, after: float | None, *, strong: bool = False) -> tuple[Cell, ...]:
    better = before is not None and after is not None and after < before
    return (
        Cell(text=one_line(name, 60), strong=strong),
        Cell(text=loss(before)),
        Cell(text=loss(after), strong=strong),
        Cell(text=change(before, after), tone="good" if better else "warn" if before and after else ""),
        Cell(text=ppl(before)),
        Cell(text=ppl(after), strong=strong),
    )


def _headline(found: Evaluation) -> list[Block]:
    """What decides, before any number that might please."""
    red, yellow = found.red_failures, found.yellow_failures
    tone = "bad" if red else "warn" if yellow or found.unfinished else "good"
    quick = "A quick validation, not the whole evaluation. " if found.quick else ""
    blocks: list[Block] = [
        Notice(
            text=f"{_upper(found.headline)}. {quick}Research checks, not clinical validation; intervals are 95%.",
            tone=tone,
        )
    ]
    if red or yellow:
        blocks.append(_checks((*red, *yellow), title="Failures"))
    return blocks


def _all_checks(found: Evaluation) -> list[Block]:
    return [block for section in found.sections for block in _section(section)]


def details(story: Story) -> Section | None:
    """The chapter with everything else that an evaluation found; None where there was none."""
    found = story.beside.evaluation
    if found is None:
        return None
    blocks: list[Block] = []
    for section in found.sections:
        blocks += [_table(table, f"{section.title}: {table.title}") for table in section.tables]
        notes = tuple(sentence(f"{check.title}: {check.note}", 600) for check in section.checks if check.note)
        if notes:
            blocks.append(Bullets(items=notes, title=f"{section.title}: remarks"))
    told = [("Evaluated", f"{instant(found.wall)}, in {duration(found.seconds)}")]
    for part, values in (("Model", found.model), ("Test data", found.data), ("Settings", found.settings)):
        said = ", ".join(f"{one_line(name, 40)} {one_line(str(value), 80)}" for name, value in values.items())
        if said:
            told.append((part, said))
    blocks.append(Pairs(rows=tuple(told), title="How it was evaluated"))
    return Section(id="evaluation", title="The evaluation in detail", blocks=tuple(blocks))


def _section(section: FoundSection) -> list[Block]:
    blocks: list[Block] = []
    if section.checks:
        ordered = sorted(section.checks, key=lambda each: (_ORDER[each.verdict], _SEVERE[each.severity]))
        blocks.append(_checks(tuple(ordered), title=section.title, caption=section.caveat))
    if section.unfinished:
        blocks.append(Notice(text=sentence(f"{section.title} is not finished: {section.unfinished}"), tone="warn"))
    return blocks


def _checks(checks: tuple[Check, ...], *, title: str, caption: str = "") -> Table:
    return Table(
        title=title,
        columns=("check", "verdict", "tuned", "base", "unit", "n", "demanded", "method"),
        rows=tuple(_check(each) for each in checks),
        right=(2, 3, 5),
        caption=caption,
    )


def _check(check: Check) -> tuple[Cell, ...]:
    tone = _TONES.get(check.verdict, "bad" if check.severity is Severity.RED else "warn")
    failed = check.verdict is Verdict.FAIL and check.severity is not Severity.NONE
    word = f"{check.verdict.value} ({check.severity.value})" if failed else check.verdict.value
    if check.verdict is Verdict.FAIL and not failed:
        word = "not met"
    unit = "%" if check.unit in _FRACTIONS else check.unit
    return (
        Cell(text=check.title, strong=failed),
        Cell(text="-" if check.verdict is Verdict.INFO else word, tone=tone, strong=failed),
        Cell(text=_measure(check.tuned, check.unit), strong=True),
        Cell(text=_measure(check.base, check.unit)),
        Cell(text=unit),
        Cell(text=count(check.n)),
        Cell(text=check.threshold or "-"),
        Cell(text=check.method.value),
    )


def _measure(measure: Measure | None, unit: str) -> str:
    if measure is None:
        return "-"
    scale = 100.0 if unit in _FRACTIONS else 1.0
    digits = 1 if unit in _FRACTIONS else _digits(measure.value)
    if measure.low is None or measure.high is None:
        return f"{scale * measure.value:,.{digits}f}"
    ends = f"[{scale * measure.low:,.{digits}f}, {scale * measure.high:,.{digits}f}]"
    return f"{scale * measure.value:,.{digits}f} {ends}"


def _digits(value: float) -> int:
    """Decimals that leave about three figures."""
    return next((digits for least, digits in ((100, 1), (1, 2), (0.1, 3)) if abs(value) >= least), 4)


def _table(table: FoundTable, title: str) -> Table:
    width = len(table.columns)
    rows = [(*row, *[None] * width)[:width] for row in table.rows[:MOST_ROWS]]
    columns = [[row[index] for row in rows] for index in range(width)]
    more = len(table.rows) - len(rows)
    caption = f"{table.caption} {plural(more, 'row')} more in {JSON}." if more > 0 else table.caption
    told = [[_plain(value, _column_digits(column)) for value in column] for column in columns]
    return Table(
        title=title,
        columns=table.columns,
        rows=tuple(tuple(Cell(text=text) for text in row) for row in zip(*told, strict=True)),
        right=tuple(index for index, column in enumerate(columns) if column and all(map(_is_number, column))),
        caption=caption.strip(),
    )


def _is_number(value: Value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _column_digits(column: Sequence[Value]) -> int:
    """The same decimals for all numbers of a column; none where all are whole."""
    known = [abs(value) for value in column if isinstance(value, float) and math.isfinite(value)]
    if all(value == int(value) for value in known):
        return 0
    return 4 if max(known) < 10 else 2 if max(known) < 1000 else 1


def _plain(value: Value, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
