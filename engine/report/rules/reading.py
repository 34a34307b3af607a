"""How rules read a story: a setting that was in force, and values a person can type back."""

from __future__ import annotations

from typing import Any

from engine.report.document import Change
from engine.report.facts import Story
from engine.report.words import setting


def configured(story: Story, key: str) -> Any:
    """The value of `section.key` in this run; None where it was not recorded."""
    section, _, name = key.partition(".")
    values = story.view.config.get(section)
    return values.get(name) if isinstance(values, dict) else None


def numeric(story: Story, key: str) -> float | None:
    """The same where it is a number."""
    value = configured(story, key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def change(story: Story, key: str, then: Any) -> Change:
    """From the value in force to a better one."""
    now = configured(story, key)
    known = now is not None or key.partition(".")[0] in story.view.config
    return Change(setting=key, now=setting(now) if known else "unknown", then=_said(then))


def scaled(story: Story, key: str, factor: float, *, least: float = 0.0) -> tuple[Change, ...]:
    """A number times a factor, in two digits; nothing where the setting is not known or would not move."""
    now = numeric(story, key)
    if now is None:
        return ()
    then = max(least, now * factor)
    whole = isinstance(configured(story, key), int)
    told: float = max(1, round(then)) if whole else float(f"{then:.2g}")
    return () if told == now else (change(story, key, told),)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else setting(value)
