"""Word overlap of generated replies with the therapist's own: BLEU and chrF, as sacrebleu counts them.

sacrebleu's own defaults and signature, so that the numbers can be counted again elsewhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.quality.bench import Bench
from engine.quality.findings import Check, Measure, Method, Section

if TYPE_CHECKING:
    from engine.quality.speaker import Reply

RESAMPLES = 1000
CAVEAT = (
    "Overlap with one reference correlates very weakly with what people think of a reply in dialogue (Liu et al. 2016, "
    "D16-1230). It may be compared with this model's own base on the same data, and with nothing else."
)


def overlap(bench: Bench) -> Iterator[Section]:
    """The section, over the generated replies."""
    from sacrebleu.metrics import BLEU, CHRF

    # It warns of what looks tokenised to it, such as a reply that ends in " .".
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    said = bench.dialogues
    checks = []
    for name, title, metric in (("bleu", "BLEU", BLEU), ("chrf", "chrF", CHRF)):
        base, _ = scored(metric(), lines(said.base), said.references)
        tuned, signature = scored(metric(), lines(said.tuned), said.references)
        checks.append(
            Check(
                id=f"overlap.{name}",
                title=title,
                method=Method.MEASURED,
                unit="points",
                n=len(said.references),
                tuned=tuned,
                base=base,
                source=f"sacrebleu {signature}",
            )
        )
    yield Section(name="overlap", title="Overlap with the therapist's reply", caveat=CAVEAT, checks=tuple(checks))


def scored(metric: Any, replies: Sequence[str], references: Sequence[str]) -> tuple[Measure, str]:
    """A corpus score with sacrebleu's bootstrap, and its signature."""
    flat = [" ".join(reference.split()) for reference in references]
    found = metric.corpus_score(list(replies), [flat], n_bootstrap=RESAMPLES)
    signature = str(metric.get_signature())
    told = json.loads(found.format(width=6, signature=signature, is_json=True))
    middle, half = float(told["confidence_mean"]), float(told["confidence_var"])
    return Measure(value=float(found.score), low=middle - half, high=middle + half), signature


def lines(replies: Sequence[Reply]) -> list[str]:
    """Replies on one line each, as a file for sacrebleu's command line would have them."""
    return [" ".join(reply.text.split()) for reply in replies]
