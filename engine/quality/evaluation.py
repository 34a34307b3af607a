"""Runs the parts of an evaluation in order and keeps each as soon as it is finished."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from engine.quality.bench import Bench
from engine.quality.findings import SCHEMA, Cell, Check, Evaluation, Measure, Section, Verdict
from engine.quality.folder import EvaluationFolder, Kept
from engine.quality.speaker import Interrupted
from engine.training.versions import versions

NOT_BEGUN: Final = "not begun"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One concern of an evaluation, which tells its sections as they are finished."""

    name: str
    title: str
    sections: Callable[[Bench], Iterator[Section]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """What an evaluation is of, in the words of its file."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    quick: bool

    @property
    def key(self) -> str:
        """Equal for two evaluations that would find the same."""
        told = {
            "schema": SCHEMA,
            "version": versions().get("stint"),
            "model": {name: value for name, value in self.model.items() if name != "folder"},
            "data": self.data.get("sha256"),
            "settings": self.settings,
            "quick": self.quick,
        }
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Run:
    """One evaluation from its first part to its last, or to an interruption."""

    def __init__(self, of: Subjects, parts: Sequence[Part], folder: EvaluationFolder, kept: Kept | None) -> None:
        self._of = of
        self._parts = parts
        self._folder = folder
        self._began = time.perf_counter()
        self._before_s = kept.seconds if kept else 0.0
        names = {part.name for part in parts}
        self._finished = {name: made for name, made in (kept.parts if kept else {}).items() if name in names}
        self._made: dict[str, tuple[Section, ...]] = dict(self._finished)
        self._broken = ""
        self.interrupted = False

    @property
    def missing(self) -> list[Part]:
        """Parts that are still to be done."""
        return [part for part in self._parts if part.name not in self._finished]

    def go(self, bench: Bench, begin: Callable[[str], None] = lambda part: None) -> Evaluation:
        """Do what is missing; `begin` hears the name of each part. Errors pass, after what was finished is kept."""
        self._save()
        for part in self.missing:
            begin(part.name)
            self._made.pop(part.name, None)
            try:
                self._do(part, bench)
            except Interrupted:
                self.interrupted = True
                self._broken = part.name
            self._save()
            if self.interrupted or bench.stop():
                self.interrupted = bool(self.missing)
                break
        return self.told()

    def told(self) -> Evaluation:
        """The evaluation as it stands."""
        sections: list[Section] = []
        for part in self._parts:
            made = self._made.get(part.name, ())
            sections += made
            if part.name not in self._finished and not any(section.unfinished for section in made):
                why = INTERRUPTED if made or part.name == self._broken else NOT_BEGUN
                sections.append(
                    Section(name=f"{part.name}.rest" if made else part.name, title=part.title, unfinished=why)
                )
        return Evaluation(
            wall=time.time(),
            seconds=self._before_s + time.perf_counter() - self._began,
            quick=self._of.quick,
            model=self._of.model,
            data=self._of.data,
            settings=self._of.settings,
            sections=tuple(sections),
        )

    def _do(self, part: Part, bench: Bench) -> None:
        started = time.perf_counter()
        for section in part.sections(bench):
            now = time.perf_counter()
            whole = replace(_finite(section), seconds=now - started)
            self._made[part.name] = (*self._made.get(part.name, ()), whole)
            self._save()
            started = now
        made = self._made.get(part.name, ())
        if not any(section.unfinished for section in made):
            self._finished[part.name] = made

    def _save(self) -> None:
        finished = {name: [section.name for section in made] for name, made in self._finished.items()}
        self._folder.save(self.told(), self._of.key, finished)


def _finite(section: Section) -> Section:
    """A number that is none says so; JSON has no word for it."""
    tables = tuple(replace(table, rows=tuple(tuple(map(_cell, row)) for row in table.rows)) for table in section.tables)
    return replace(section, checks=tuple(map(_answered, section.checks)), tables=tables)


def _answered(check: Check) -> Check:
    base = check.base if check.base is None or _is_finite(check.base) else None
    if check.tuned is None or _is_finite(check.tuned):
        return replace(check, base=base)
    return replace(check, tuned=None, base=base, verdict=Verdict.UNKNOWN, note=f"{check.note} Not finite.".strip())


def _is_finite(measure: Measure) -> bool:
    return all(value is None or math.isfinite(value) for value in (measure.value, measure.low, measure.high))


def _cell(value: Cell) -> Cell:
    return None if isinstance(value, float) and not math.isfinite(value) else value
