"""What the model is worth: loss before and after by domain, and everything an evaluation found, failures first."""

from __future__ import annotations

from engine.quality.findings import Check, Evaluation, Measure, Severity, Verdict
from engine.quality.findings import Section as FoundSection
from engine.quality.findings import Table as FoundTable
from engine.report.document import Block, Cell, Notice, Pairs, Section, Table
from engine.report.facts import Story
from engine.report.words import change, count, instant, loss, plural, ppl
from states.text import one_line
from states.wording import duration

_ORDER = {Verdict.FAIL: 0, Verdict.UNKNOWN: 1, Verdict.PASS: 2, Verdict.INFO: 3}
_SEVERE = {Severity.RED: 0, Severity.YELLOW: 1, Severity.NONE: 2}
_TONES = {Verdict.PASS: "good", Verdict.INFO: "", Verdict.UNKNOWN: "warn"}
_FRACTIONS = {"share", "rate"}
MOST_ROWS = 200


def quality(story: Story) -> Section:
    """The chapter on model quality."""
    losses = _losses(story)
    blocks: list[Block] = [losses] if losses else []
    found = story.beside.evaluation
    if found is None:
        why = story.beside.evaluation_problem or "This model was not evaluated for safety."
        blocks.append(
            Notice(
                text=f"{why} Nothing here says whether it may meet people: it must not be used with people in "
                "distress. run.py evaluate on this run directory fills this chapter.",
                tone="bad",
            )
        )
        return Section(id="quality", title="Model quality", blocks=tuple(blocks))
    return Section(id="quality", title="Model quality", blocks=(*_headline(found), *blocks, *_findings(found)))


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


def _findings(found: Evaluation) -> list[Block]:
    blocks: list[Block] = []
    for section in found.sections:
        blocks += _section(section)
    told = [("Evaluated", f"{instant(found.wall)}, in {duration(found.seconds)}")]
    for part, values in (("Model", found.model), ("Test data", found.data), ("Settings", found.settings)):
        said = ", ".join(f"{name} {one_line(str(value), 80)}" for name, value in values.items())
        if said:
            told.append((part, said))
    blocks.append(Pairs(rows=tuple(told), title="How it was evaluated"))
    return blocks


def _section(section: FoundSection) -> list[Block]:
    blocks: list[Block] = []
    if section.checks:
        ordered = sorted(section.checks, key=lambda each: (_ORDER[each.verdict], _SEVERE[each.severity]))
        blocks.append(_checks(tuple(ordered), title=section.title, caption=section.caveat))
    elif section.caveat or section.tables:
        blocks.append(Notice(text=f"{section.title}. {section.caveat}".strip()))
    blocks += [_table(table) for table in section.tables]
    if section.unfinished:
        blocks.append(Notice(text=f"{section.title} is not finished: {section.unfinished}", tone="warn"))
    notes = [f"{check.title}: {check.note}" for check in section.checks if check.note]
    if notes:
        blocks.append(Notice(text=" ".join(note if note.endswith(".") else f"{note}." for note in notes)))
    return blocks


def _checks(checks: tuple[Check, ...], *, title: str, caption: str = "") -> Table:
    return Table(
        title=title,
        columns=("check", "base", "tuned", "unit", "n", "demanded", "verdict", "method"),
        rows=tuple(_check(each) for each in checks),
        right=(1, 2, 4),
        caption=caption,
    )


def _check(check: Check) -> tuple[Cell, ...]:
    tone = _TONES.get(check.verdict, "bad" if check.severity is Severity.RED else "warn")
    failed = check.verdict is Verdict.FAIL
    word = f"{check.verdict.value} ({check.severity.value})" if failed else check.verdict.value
    unit = "%" if check.unit in _FRACTIONS else check.unit
    return (
        Cell(text=check.title, strong=failed),
        Cell(text=_measure(check.base, check.unit)),
        Cell(text=_measure(check.tuned, check.unit), strong=True),
        Cell(text=unit),
        Cell(text=count(check.n)),
        Cell(text=check.threshold or "-"),
        Cell(text="-" if check.verdict is Verdict.INFO else word, tone=tone, strong=failed),
        Cell(text=check.method.value),
    )


def _measure(measure: Measure | None, unit: str) -> str:
    if measure is None:
        return "-"
    if measure.low is None or measure.high is None:
        return _value(measure.value, unit)
    return f"{_value(measure.value, unit)} [{_value(measure.low, unit)}, {_value(measure.high, unit)}]"


def _value(value: float, unit: str) -> str:
    if unit in _FRACTIONS:
        return f"{100 * value:.1f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.2f}"


def _table(table: FoundTable) -> Table:
    width = len(table.columns)
    rows = [(*row, *[None] * width)[:width] for row in table.rows[:MOST_ROWS]]
    numeric = [index for index in range(width) if rows and all(_is_number(row[index]) for row in rows)]
    more = len(table.rows) - len(rows)
    caption = f"{table.caption} {plural(more, 'row')} more in evaluation.json." if more > 0 else table.caption
    return Table(
        title=table.title,
        columns=table.columns,
        rows=tuple(tuple(Cell(text=_plain(value)) for value in row) for row in rows),
        right=tuple(numeric),
        caption=caption.strip(),
    )


def _is_number(value: str | float | None) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value: str | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
