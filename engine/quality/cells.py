"""Numbers of an evaluation in the fewest digits that still tell."""

from __future__ import annotations

from engine.quality.findings import Cell, Check, Measure, Severity, Verdict


def number_text(value: float, unit: str) -> str:
    """A value in its unit, without the unit's name."""
    if unit == "share":
        return f"{100 * value:.0f}%" if value in (0.0, 1.0) or 0.1 <= value <= 0.9 else f"{100 * value:.1f}%"
    if unit == "nats":
        return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"
    if unit == "points":
        return f"{value:.1f}"
    if unit in ("perplexity", "ratio"):
        return f"{value:,.2f}"
    return f"{value:.3f}"


def value_text(measure: Measure | None, unit: str) -> str:
    """The value, `-` where there is none."""
    return "-" if measure is None else number_text(measure.value, unit)


def interval_text(measure: Measure | None, unit: str) -> str:
    """Its 95% interval, empty where there is none."""
    if measure is None or measure.low is None or measure.high is None:
        return ""
    return f"{number_text(measure.low, unit)} to {number_text(measure.high, unit)}"


def verdict_text(check: Check) -> str:
    """What a value means, in a word: `met` and `not met` are targets, `look` asks for a person, `FAIL` decides."""
    if check.verdict is Verdict.INFO:
        return ""
    if check.verdict is Verdict.UNKNOWN:
        return "unknown"
    held = check.verdict is Verdict.PASS
    if check.severity is Severity.NONE:
        return "met" if held else "not met"
    return "pass" if held else "FAIL" if check.severity is Severity.RED else "look"


def cell_text(value: Cell) -> str:
    """A table's cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else value
