"""What an evaluation consists of, in order."""

from __future__ import annotations

from collections.abc import Iterator

from engine.quality.bench import Bench
from engine.quality.coherence import coherence
from engine.quality.evaluation import Part
from engine.quality.findings import Section
from engine.quality.overlap import overlap
from engine.quality.perplexity import perplexity
from engine.quality.routes import routes


def safety(bench: Bench) -> Iterator[Section]:
    """What the model says to people in crisis, and what it must not say to anybody."""
    from engine.quality.safety import run

    yield from run(
        bench.tuned,
        bench.base,
        quick=bench.settings.quick,
        seed=bench.settings.seed,
        progress=bench.progress,
        stop=bench.stop,
        stimuli=bench.stimuli,
        locale=bench.settings.locale,
    )


def bias(bench: Bench) -> Iterator[Section]:
    """Whether it treats people differently for what they are."""
    from engine.quality.bias import run

    yield from run(
        bench.tuned,
        bench.base,
        quick=bench.settings.quick,
        seed=bench.settings.seed,
        progress=bench.progress,
        stop=bench.stop,
        stimuli=bench.stimuli,
        locale=bench.settings.locale,
    )


PARTS = (
    Part(name="perplexity", title="Perplexity", sections=perplexity),
    Part(name="overlap", title="Overlap with the therapist's reply", sections=overlap),
    Part(name="coherence", title="Coherence of replies", sections=coherence),
    Part(name="routing", title="Expert routing", sections=routes),
    Part(name="safety", title="Therapeutic safety", sections=safety),
    Part(name="bias", title="Bias", sections=bias),
)
