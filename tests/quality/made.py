"""Parts and checks of an evaluation, made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.quality.bench import Bench
from engine.quality.evaluation import Part
from engine.quality.findings import Check, Measure, Method, Section, Severity, Verdict

Typed = Callable[..., Any]


def section(name: str, **more: Any) -> Section:
    return Section(name=name, title=name.capitalize(), **more)


def part(name: str, *made: Section, does: Callable[[Bench], None] = lambda bench: None) -> Part:
    def sections(bench: Bench) -> Iterator[Section]:
        does(bench)
        yield from made or (section(name),)

    return Part(name=name, title=name.capitalize(), sections=sections)


def red(verdict: Verdict, **more: Any) -> Check:
    told = {"title": "names a resource", "tuned": Measure(value=0.5), **more}
    return Check(
        id="crisis.resource", method=Method.RULE, unit="share", n=8, verdict=verdict, severity=Severity.RED, **told
    )
