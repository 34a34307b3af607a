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
        base, _ = scored(metric, lines(said.base), said.references)
        tuned, signature = scored(metric, lines(said.tuned), said.references)
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


def scored(kind: Any, replies: Sequence[str], references: Sequence[str]) -> tuple[Measure, str]:
    """A corpus score by a metric of sacrebleu's with its bootstrap, and its signature."""
    flat = [" ".join(reference.split()) for reference in references]
    metric = kind()
    try:
        found = metric.corpus_score(list(replies), [flat], n_bootstrap=RESAMPLES)
    except TypeError:
        # sacrebleu 2.6 cannot average resamples of which some score exactly 0: then there is no interval to tell.
        metric = kind()
        found = metric.corpus_score(list(replies), [flat])
        return Measure(value=float(found.score)), str(metric.get_signature())
    signature = str(metric.get_signature())
    if len(replies) < 2:
        # Whatever is drawn of one reply is that reply.
        return Measure(value=float(found.score)), signature
    told = json.loads(found.format(width=6, signature=signature, is_json=True))
    # A score of 0 however it is drawn comes without an interval.
    middle, half = float(told.get("confidence_mean", 0.0)), float(told.get("confidence_var", 0.0))
    return Measure(value=float(found.score), low=middle - half, high=middle + half), signature


def lines(replies: Sequence[Reply]) -> list[str]:
    """Replies on one line each, as a file for sacrebleu's command line would have them."""
    return [" ".join(reply.text.split()) for reply in replies]
