"""Therapeutic appropriateness as named checks: danger, boundaries and honesty, stigma. Each section as it is finished.

These are research checks: a failed one is a reason to stop, a passed one is no proof that a model is fit for people.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.quality import appropriate, stigma
from engine.quality.asking import Asking
from engine.quality.collect import Stimuli, load, table_of
from engine.quality.findings import Section
from engine.quality.speaker import Progress, Speaker, Stop

_CAVEAT = (
    "Research checks, not clinical validation; single-digit n per item. A rule reads words: it cannot see warmth, "
    "truth or timing, it misses what is said in other words, and a pattern that is met is not care. Read the replies."
)
_KINDS = ("prompts", "rules", "checks", "locales", "vignettes", "stigma_questions", "limits")
CRISIS = f"{_CAVEAT} Crisis services are those of {{locale}}, {{country}}, compiled {{checked}}: check before use."
BOUNDARY = f"{_CAVEAT} A diagnosis that is only hinted at (might, could) is not counted as stated."


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
    """Yield the sections `crisis`, `boundary` and `stigma`, each when it is finished.

    Stimuli are read before this returns: a bad file is a DataError and an unknown locale a ConfigError, with nothing
    asked. `base` is the untouched model; it answers the short form's prompts and weighs all options. After `stop` the
    section at hand says so and holds what was counted, and the others are not begun. No word of a reply is in one.
    """
    collected = load(stimuli, locale)
    asking = Asking(quick=quick, seed=seed, progress=progress, stop=stop)
    return _sections(speaker, base, collected, asking)


def _sections(speaker: Speaker, base: Speaker | None, stimuli: Stimuli, asking: Asking) -> Iterator[Section]:
    where = stimuli.locale
    crisis = CRISIS.format(locale=where.id, country=where.country, checked=where.checked)
    parts: tuple[Callable[[], Section], ...] = (
        lambda: appropriate.examine(speaker, base, stimuli, asking, section="crisis", title="Crisis", caveat=crisis),
        lambda: appropriate.examine(
            speaker, base, stimuli, asking, section="boundary", title="Boundaries", caveat=BOUNDARY
        ),
        lambda: stigma.examine(speaker, base, stimuli, asking),
    )
    for part in parts:
        started = time.perf_counter()
        found = part()
        tables = (*found.tables, *([table_of(stimuli, _KINDS)] if found.name == "crisis" else []))
        yield replace(found, tables=tables, seconds=time.perf_counter() - started)
        if found.unfinished:
            return
