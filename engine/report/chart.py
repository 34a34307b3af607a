"""What a chart shows, as data: it travels in report.json, and `plots` draws it. Colours are names, never values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]

INKS = ("blue", "orange", "green", "purple", "teal", "rose", "gold", "slate")
"""Names of the palette, in the order in which things are coloured; told apart by any common colour vision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line; `low` and `high` are drawn as a band around it where they are given."""

    name: str
    ink: str
    points: tuple[Point, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dots: bool = False
    """Every point is marked: measurements that are few."""
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line at `at` on the x axis."""

    at: float
    label: str
    tone: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A horizontal line: a target or a limit."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Curves over steps. `y_format` is a format specification, or `bytes`, `percent`, `compact`."""

    curves: tuple[Curve, ...]
    y_format: str = "compact"
    x_label: str = "step"
    marks: tuple[Mark, ...] = ()
    levels: tuple[Level, ...] = ()
    from_zero: bool = False
    top: float | None = None
    """The axis ends here."""
    span: tuple[float, float] | None = None
    """What the axis shows at least, so that a tremble does not look like a fall."""
    kind: str = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaChart:
    """Shares that sum to 1, stacked over steps."""

    names: tuple[str, ...]
    steps: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]
    """One row a step."""
    levels: tuple[Level, ...] = ()
    marks: tuple[Mark, ...] = ()
    x_label: str = "step"
    kind: str = "area"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatChart:
    """A matrix with its numbers in the cells. `low` and `high` are where the colour begins and is full."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    low: float
    high: float
    cell_format: str = "percent"
    kind: str = "heat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of bars: a value for each of the chart's names, None where it is not known."""

    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Horizontal bars in groups, such as estimated beside actual."""

    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    value_format: str = "duration"
    kind: str = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts in buckets that begin at `edges`; with as many edges as counts the last bucket has no upper end."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    x_label: str
    kind: str = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A coloured piece of a lane, seconds from the beginning."""

    start: float
    end: float
    ink: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A mark in a lane, seconds from the beginning."""

    at: float
    tone: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One row of a timeline."""

    name: str
    stretches: tuple[Stretch, ...] = ()
    dots: tuple[Dot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Lanes over the wall time of the run, seconds; `marks` are instants such as the deadline."""

    lanes: tuple[Lane, ...]
    length_s: float
    marks: tuple[Mark, ...] = ()
    kind: str = "timeline"


Chart: TypeAlias = LineChart | AreaChart | HeatChart | BarChart | Histogram | Timeline
