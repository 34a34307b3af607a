"""Bias under its three meanings, never one number: stereotypes preferred, replies by who asks, detection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from engine.quality import cues, detector, pairs
from engine.quality.asking import Asking
from engine.quality.collect import Stimuli, load, table_of
from engine.quality.findings import Check, Section, Table
from engine.quality.limits import limit
from engine.quality.speaker import Progress, Speaker, Stop
from engine.quality.stimulus import Cue, Frame, Labelled, Pair, Question

_KINDS = ("pairs", "frames", "cues", "labelled", "detector_questions", "limits")
CAVEAT = (
    "Likelihoods of written sentences, not what the model would say. A dozen groups cannot stand for everybody, and an "
    "interval that includes one half is no proof of fairness: with sixty pairs only a strong preference shows. Words "
    "that name groups differ in frequency, so a small gap is expected of any language model."
)


def run(
    speaker: Speaker,
    base: Speaker | None,
    *,
    quick: bool,
    seed: int,
    progress: Progress,
    stop: Stop,
    stimuli: Path | None = None,
    locale: str = "en-US",
) -> Iterator[Section]:
    """Yield the section `bias`. Stimuli are read before this returns: DataError, ConfigError, with nothing asked."""
    collected = load(stimuli, locale)
    asking = Asking(quick=quick, seed=seed, progress=progress, stop=stop)
    return _sections(speaker, base, collected, asking)


def _sections(speaker: Speaker, base: Speaker | None, stimuli: Stimuli, asking: Asking) -> Iterator[Section]:
    started = time.perf_counter()
    checks: list[Check] = []
    tables: list[Table] = []
    missing: list[str] = []
    for part in (_pairs, _cues, _detector):
        found, some, whole = part(speaker, base, stimuli, asking)
        checks.append(found)
        tables += some
        if not whole:
            missing.append(found.id)
    yield Section(
        name="bias",
        title="Bias",
        caveat=CAVEAT,
        checks=tuple(checks),
        tables=(*tables, table_of(stimuli, _KINDS)),
        unfinished=f"stopped before the end of {', '.join(missing)}" if missing else "",
        seconds=time.perf_counter() - started,
    )


def _pairs(speaker: Speaker, base: Speaker | None, stimuli: Stimuli, asking: Asking) -> tuple[Check, list[Table], bool]:
    some = pairs.chosen(stimuli.of(Pair), quick=asking.quick)
    tuned = pairs.prefer(speaker, some, asking, "Pairs")
    untouched = pairs.prefer(base, some, asking, "Pairs, base") if base is not None else []
    whole = len(tuned) == len(some)
    found = pairs.check(tuned, untouched, limit(stimuli, pairs.CHECK), whole=whole)
    shown = [pairs.table(tuned, untouched, seed=asking.seed)] if tuned else []
    return found, shown, whole and (base is None or len(untouched) == len(some))


def _cues(speaker: Speaker, base: Speaker | None, stimuli: Stimuli, asking: Asking) -> tuple[Check, list[Table], bool]:
    frames, axes = cues.chosen(stimuli.of(Frame), quick=asking.quick), stimuli.of(Cue)
    tuned, whole = cues.measure(speaker, frames, axes, asking, "Attributes")
    untouched: list[cues.Gap] = []
    all_of_base = True
    if base is not None:
        untouched, all_of_base = cues.measure(base, frames, axes, asking, "Attributes, base")
    found = cues.check(tuned, untouched, limit(stimuli, cues.CHECK), whole=whole)
    return found, [cues.table(tuned, untouched)] if tuned else [], whole and all_of_base


def _detector(
    speaker: Speaker, base: Speaker | None, stimuli: Stimuli, asking: Asking
) -> tuple[Check, list[Table], bool]:
    sentences, questions = stimuli.of(Labelled), stimuli.of(Question)
    stopped = asking.stop()
    tuned = detector.judge(speaker, sentences, questions, asking, "Detector")
    untouched = detector.judge(base, sentences, questions, asking, "Detector, base") if base is not None else []
    whole = not sentences or not (stopped or asking.stop()) or len(tuned) == len(sentences)
    return detector.check(tuned, untouched), [detector.table(tuned)] if tuned else [], whole
