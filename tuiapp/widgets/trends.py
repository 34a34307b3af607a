"""Three small charts: learning rate, gradient norm, throughput; and the same numbers as lines where rows are scarce."""

from __future__ import annotations

from typing import Any

from rich.style import Style

from states.series import Series
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.axis import Label, speed_label
from tuiapp.frame import Frame
from tuiapp.ink import Row, cells, say, spread
from tuiapp.meter import recent, spark
from tuiapp.widgets.chart import Chart, draw
from tuiapp.widgets.panel import Sheet


def rate_inputs(frame: Frame) -> tuple[object, ...]:
    """What `rate` is painted from."""
    return frame.view.lr, *_common(frame)


def norm_inputs(frame: Frame) -> tuple[object, ...]:
    """What `norm` is painted from."""
    return frame.view.grad_norm, frame.view.config, *_common(frame)


def speed_inputs(frame: Frame) -> tuple[object, ...]:
    """What `speed` is painted from."""
    return frame.view.tokens_per_s, *_common(frame)


def _common(frame: Frame) -> tuple[object, ...]:
    view = frame.view
    return view.progress, view.plan, view.window.opened_wall, frame.by_time, frame.glyphs


def rate(frame: Frame, width: int, height: int) -> Sheet:
    """The learning rate over the run."""
    view = frame.view
    title = say(("learning rate ", ink.TITLE), (fmt.rate(view.progress.lr), ink.RATE))
    peak = max((bucket.high for bucket in view.lr.buckets), default=None)
    caption = say((f"peak {fmt.rate(peak)}", ink.LABEL)) if peak is not None else []
    warmup = view.plan.warmup_steps if view.plan is not None else 0
    return _small(frame, title, caption, view.lr, ink.RATE, width, height, bottom=0.0, boundary=warmup)


def norm(frame: Frame, width: int, height: int) -> Sheet:
    """The gradient norm before clipping, with the share of the chart above the clip."""
    view = frame.view
    clip = clip_norm(view.config)
    title = say(("grad norm ", ink.TITLE), (fmt.figure(view.progress.grad_norm), ink.NORM))
    caption = say((f"clip {clip:g}", ink.LABEL)) if clip is not None else []
    return _small(frame, title, caption, view.grad_norm, ink.NORM, width, height, band=True)


def speed(frame: Frame, width: int, height: int) -> Sheet:
    """Tokens a second."""
    view = frame.view
    title = say(("tokens/s ", ink.TITLE), (fmt.short(view.progress.tokens_per_s), ink.SPEED))
    step_s = view.progress.step_s
    caption = say((f"step {fmt.lasting(step_s)}", ink.LABEL)) if step_s is not None else []
    return _small(
        frame, title, caption, view.tokens_per_s, ink.SPEED, width, height, bottom=0.0, band=True, label=speed_label
    )


def pace(frame: Frame, width: int, height: int) -> Sheet:
    """The three as lines of a number and a sparkline; where there are two rows, two of them share one."""
    view = frame.view
    inner = width - 2
    speed, norm, rate = (
        (fmt.short(view.progress.tokens_per_s), ink.SPEED),
        (fmt.figure(view.progress.grad_norm), ink.NORM),
        (fmt.rate(view.progress.lr), ink.RATE),
    )
    if height < 3:
        first = say(("tok/s ", ink.LABEL), speed, (" ", ink.PLAIN))
        room = inner - cells(first)
        first += spark(recent(view.tokens_per_s, room), room, ink.SPEED, frame.glyphs)
        second = spread(say(("lr ", ink.LABEL), rate), say(("grad ", ink.LABEL), norm), inner)
        return Sheet(body=[[*say((" ", ink.PLAIN)), *row] for row in (first, second)][:height])
    body: list[Row] = []
    lines = (("tok/s", speed, view.tokens_per_s), ("grad", norm, view.grad_norm), ("lr", rate, view.lr))
    for name, (number, style), series in lines:
        row = say((f" {name:<6}", ink.LABEL), (f"{number:>8} ", style))
        room = inner - cells(row) + 1
        body.append([*row, *spark(recent(series, max(0, room)), room, style, frame.glyphs)])
    if height > 3 and view.progress.step_s is not None:
        body.append(say((" step  ", ink.LABEL), (f"{fmt.lasting(view.progress.step_s):>7}", ink.PLAIN)))
    return Sheet(body=body[:height])


def clip_norm(config: dict[str, Any]) -> float | None:
    """The gradient norm at which the run clips, from its resolved configuration."""
    value = config.get("safety", {}).get("max_grad_norm") if isinstance(config.get("safety"), dict) else None
    return float(value) if isinstance(value, int | float) else None


def _small(
    frame: Frame,
    title: Row,
    caption: Row,
    series: Series,
    style: Style,
    width: int,
    height: int,
    *,
    bottom: float | None = None,
    band: bool = False,
    label: Label | None = None,
    boundary: int = 0,
) -> Sheet:
    if height < 2:
        return Sheet(
            title=title, caption=caption, body=[spark(recent(series, width), width, style, frame.glyphs, floor=bottom)]
        )
    chart = Chart(
        band=series if band else None,
        curve=series,
        curve_style=style,
        band_style=ink.FAINT,
        bottom=bottom,
        label=label,
        axis_x=False,
        boundaries=(boundary,) if boundary > 1 else (),
    )
    return Sheet(title=title, caption=caption, body=draw(chart, frame, width, height))
