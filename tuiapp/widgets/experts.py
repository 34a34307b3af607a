"""Expert balance: each expert's share of the tokens against an even share, and how evenly the router spreads them."""

from __future__ import annotations

import math

from rich.style import Style

from states.mixture import Alarm, Experts
from states.wording import alarm_words
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.glyphs import Glyphs
from tuiapp.ink import Row, cells, fit, pad, say, wrap
from tuiapp.meter import bar, marked
from tuiapp.plot import Area, Dots, by_step, columns, compose
from tuiapp.widgets.panel import Sheet

TOLERANCE = 0.2
"""Balanced is within a fifth of the even share: 20% to 30% each, for four experts."""
MIN_BARS = 26
"""Cells the bars need beside a domain table."""
COLLAPSE_SHARE = 2.0
"""An expert with more than this many even shares (50% of four) has taken over."""
COLLAPSE_ENTROPY = 0.36
"""Entropy under this part of ln(experts) (0.5 nats of four) is a collapse."""

ALARM_ROWS = 3
"""Rows an alarm may take from the curves."""


def inputs(frame: Frame) -> tuple[object, ...]:
    """What the panel is painted from."""
    view = frame.view
    return view.experts, view.eval_experts, view.expert_shares, view.alarms, view.model, frame.glyphs


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """A bar for each expert, the entropy in the frame, and in wide panels the domain table."""
    view = frame.view
    title = say(("experts ", ink.TITLE))
    sample = view.experts or view.eval_experts
    if view.model is not None and view.model.experts <= 1:
        return Sheet(title=title, body=[say(("a single adapter: nothing is routed", ink.FAINT))])
    if sample is None or not sample.shares:
        return Sheet(title=title, body=[say(("no routing measured yet", ink.FAINT))])
    word, style = verdict(sample, frame.glyphs)
    if view.alarms and style == ink.GOOD:
        # The mean over layers may be fine where a layer is not.
        word, style = f"{frame.glyphs.warn} alarm", _tone(view.alarms[0])
    title += say((word, style))
    told = _alarm(view.alarms, width, min(ALARM_ROWS, height - len(sample.shares)), frame.glyphs)
    if view.alarms and not told:
        title += say((f"  {alarm_words(view.alarms[0])}", _tone(view.alarms[0])))
    body = [*bars(sample, frame, width, height - len(told)), *told]
    return Sheet(title=title, caption=_entropy(sample, width), body=body)


def verdict(sample: Experts, glyphs: Glyphs) -> tuple[str, Style]:
    """In words and a mark: balanced, uneven or collapsed."""
    even = 1 / len(sample.shares)
    full = math.log(len(sample.shares)) or 1.0
    if max(sample.shares) > COLLAPSE_SHARE * even or sample.entropy / full < COLLAPSE_ENTROPY:
        return f"{glyphs.cross} collapsed", ink.BAD
    if all(abs(share - even) <= TOLERANCE * even + 1e-9 for share in sample.shares):
        return f"{glyphs.check} balanced", ink.GOOD
    return f"{glyphs.warn} uneven", ink.WARN


def _alarm(alarms: tuple[Alarm, ...], width: int, rows: int, glyphs: Glyphs) -> list[Row]:
    """The worst alarm with its number and its remedy, in at most `rows` rows; nothing where there is no room."""
    if not alarms or rows < 1:
        return []
    worst, others = alarms[0], len(alarms) - 1
    more = f" ({others} more alarm{'s' if others > 1 else ''})" if others else ""
    text = f"{glyphs.warn} {alarm_words(worst)}{more}: {worst.remedy}"
    return wrap(text, width, _tone(worst), most=rows, ellipsis=glyphs.ellipsis)


def _tone(alarm: Alarm) -> Style:
    return ink.BAD if alarm.level == "bad" else ink.WARN


def _entropy(sample: Experts, width: int) -> Row:
    full = math.log(len(sample.shares))
    row = say(("H ", ink.LABEL), (f"{sample.entropy:.3f}", ink.BRIGHT))
    if width >= 40:
        row += say((f"/{full:.3f}", ink.LABEL))
    if width >= 60 and sample.balance_loss is not None:
        row += say(("  balance ", ink.LABEL), (f"{sample.balance_loss:.3f}", ink.BRIGHT))
    return row


def bars(sample: Experts, frame: Frame, width: int, height: int) -> list[Row]:
    """The bars, beside the domain table where it fits, over a line on the worst layer where a row is free."""
    count = len(sample.shares)
    domains = list(sample.domains)[: max(0, height - 1)]
    names = min(14, max((len(name) for name in domains), default=0))
    table_width = names + 1 + 5 * count
    with_table = bool(domains) and height >= count and width >= table_width + 3 + MIN_BARS
    left = width - table_width - 3 if with_table else width
    rows = [_bar(index, sample, frame, left) for index in range(min(count, height))]
    if len(rows) < height:
        rows.insert(0, _scale(sample, frame, left))
    if len(rows) < height:
        rows.append(_worst(sample, left))
    if height - len(rows) >= 2:
        rows += _history(frame, left, height - len(rows))
    if not with_table:
        return rows[:height]
    table = _table(sample, domains, names, frame.glyphs)
    rows += [[] for _ in range(len(table) - len(rows))]
    gap = say((f" {frame.glyphs.vertical} ", ink.GRID))
    return [
        [*fit(row, left), *gap, *(table[index] if index < len(table) else [])]
        for index, row in enumerate(rows[:height])
    ]


def _history(frame: Frame, width: int, height: int) -> list[Row]:
    """Each expert's share over the run, in its own colour, on a scale that holds at least the tolerance."""
    series = [item for item in frame.view.expert_shares if item]
    if not series:
        return []
    even = 1 / len(frame.view.expert_shares)
    lines = [by_step(item.buckets) for item in series]
    values = [point[4] for line in lines for point in line]
    area = Area(
        left=lines[0][0][0],
        right=max(lines[0][-1][1], lines[0][0][0] + 1),
        bottom=min(even * (1 - TOLERANCE), *values),
        top=max(even * (1 + TOLERANCE), *values),
    )
    labels = {0: f"{100 * area.top:.0f}%", height - 1: f"{100 * area.bottom:.0f}%"}
    plot = width - 5
    layers = []
    for index, line in enumerate(lines):
        dots = Dots(plot, height, braille=frame.glyphs.braille)
        dots.line(columns(line, area, dots.width), area)
        layers.append((dots, ink.EXPERTS[index % len(ink.EXPERTS)], frame.glyphs.line))
    rows = compose(layers, {}, frame.glyphs, plot, height)
    side = frame.glyphs.vertical
    return [[*say((f"{labels.get(y, ''):>4}", ink.FAINT), (side, ink.BORDER)), *row] for y, row in enumerate(rows)]


def _geometry(width: int) -> int:
    """Cells of a bar: the label takes 3, the number 7."""
    return max(4, width - 10)


def _bar(index: int, sample: Experts, frame: Frame, width: int) -> Row:
    """`E0 =====|==|---- 25.4%`; the bar ends at twice the even share, the marks are the tolerance."""
    even = 1 / len(sample.shares)
    share = sample.shares[index]
    style = ink.EXPERTS[index % len(ink.EXPERTS)]
    size = _geometry(width)
    drawn = bar(share / (2 * even), size, style, frame.glyphs)
    filled = share / (2 * even) * size
    marks = {}
    for edge in (1 - TOLERANCE, 1 + TOLERANCE):
        place = min(size - 1, round(edge / 2 * size))
        marks[place] = (frame.glyphs.passed, style) if place < filled else (frame.glyphs.target, ink.LABEL)
    ok = abs(share - even) <= TOLERANCE * even + 1e-9
    number = f"{100 * share:5.1f}%"
    return [
        *say((f"E{index}".ljust(3), style)),
        *marked(drawn, marks),
        *say((number, ink.BRIGHT if ok else ink.WARN), ("" if ok else frame.glyphs.warn, ink.WARN)),
    ]


def _scale(sample: Experts, frame: Frame, width: int) -> Row:
    """The line over the bars: where the tolerance begins and ends."""
    even = 1 / len(sample.shares)
    size = _geometry(width)
    line = [" "] * width
    for edge in (1 - TOLERANCE, 1.0, 1 + TOLERANCE):
        text = f"{100 * even * edge:.0f}"
        place = 3 + min(size - 1, round(edge / 2 * size))
        start = place - len(text) // 2
        if (
            start >= 0
            and start + len(text) <= width
            and all(c == " " for c in line[max(0, start - 1) : start + len(text)])
        ):
            line[start : start + len(text)] = text
    return say(("".join(line), ink.FAINT))


def _worst(sample: Experts, width: int) -> Row:
    """The layer that is furthest from even."""
    even = 1 / len(sample.shares)
    if not sample.layer_shares:
        return []
    gaps = [max(abs(share - even) for share in layer) for layer in sample.layer_shares]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    low, high = min(sample.layer_shares[worst]), max(sample.layer_shares[worst])
    row = say(
        ("worst layer ", ink.LABEL),
        (f"{worst}", ink.BRIGHT),
        (f" of {len(gaps)}", ink.LABEL),
        (f"  {100 * low:.0f}-{100 * high:.0f}%", ink.BRIGHT),
    )
    if sample.token_entropy is not None:
        more = say(("  per token H ", ink.LABEL), (f"{sample.token_entropy:.2f}", ink.BRIGHT))
        if cells(row) + cells(more) <= width:
            row += more
    return row


def _table(sample: Experts, domains: list[str], names: int, glyphs: Glyphs) -> list[Row]:
    """Shares of the experts for each domain, the largest marked."""
    count = len(sample.shares)
    head: list[tuple[str, Style]] = [(" " * (names + 1), ink.LABEL)]
    head += [(f"{f'E{index}':>4} ", ink.EXPERTS[index % len(ink.EXPERTS)]) for index in range(count)]
    rows = [say(*head)]
    known = sample.domains  # worked out when asked for
    for name in domains:
        shares = known[name]
        top = max(shares, default=0.0)
        parts = [(pad(name, names, glyphs.ellipsis) + " ", ink.LABEL)]
        for share in shares[:count]:
            best = share == top and top > 0
            parts.append((f"{100 * share:3.0f}%", ink.BRIGHT if best else ink.PLAIN))
            parts.append((glyphs.now if best and share > 1.05 / count else " ", ink.NOTE))
        rows.append(say(*parts))
    return rows
