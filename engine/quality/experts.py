"""What experts and routers do for the loss: gates by decree in the routers' place, on a part of the validation set.

Forcing all tokens through one expert, for each expert and domain, is the causal matrix: a counted preference says where
tokens go, only this says whether it helps them. Silencing an expert tells what is lost without it, uniform gates what
routing itself is worth over the standard adapter that is exported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.data.prepare import eval_subset
from engine.model.adapters import Adapted
from engine.model.gates import Ablated, Forced, GateOverride, Uniform
from engine.model.inspect import inspect
from engine.quality.gated import GatedLoss, gated_loss
from engine.quality.specialisation import Assignments, specialisation
from states.events import ExpertsExamined

COST = 2.0
"""The most that all passes together may cost, in evaluations of the whole validation set, by tokens."""

Row = tuple[float | None, ...]


def num_passes(num_experts: int) -> int:
    """Times that an examination reads its sample: routed, average, each expert forced and each ablated."""
    return 2 + 2 * num_experts


def sample_of(examples: Sequence[Example], num_experts: int, seed: int) -> list[Example]:
    """The seeded part of a validation set that an examination uses, every domain in its share.

    All passes together cost at most `COST` evaluations of all of it.
    """
    tokens = sum(example.tokens for example in examples)
    return eval_subset(examples, int(COST * tokens / num_passes(num_experts)), seed)


def examine(
    adapted: Adapted,
    examples: Sequence[Example],
    *,
    step: int,
    domains: Sequence[str],
    bin_tokens: int,
    seed: int,
    stop: Callable[[], bool],
    assignments: Assignments | None = None,
    progressed: Callable[[int], None] = lambda done: None,
) -> ExpertsExamined | None:
    """Examine a routed model on a part of `examples`, the validation set.

    `stop` is asked between bins; what is finished by then is told, and None where not even the two losses are.
    `assignments` of a whole evaluation give the mutual information; `progressed` hears how many passes are done. A
    plain LoRA has nothing to examine: None.
    """
    if not adapted.spec.routed:
        return None
    started = time.perf_counter()
    chosen = sample_of(examples, adapted.spec.num_experts, seed)
    bins = make_bins(chosen, bin_tokens)
    done: list[GatedLoss] = []
    for gates in _questions(adapted.spec.num_experts):
        answer = gated_loss(adapted, bins, domains, gates, stop)
        if answer is None:
            break
        done.append(answer)
        progressed(len(done))
    if len(done) < 2:
        return None
    routed, average, *rest = done
    count = adapted.spec.num_experts
    forced, ablated = (part if len(part) == count else [] for part in (rest[:count], rest[count:]))
    found = None if assignments is None else specialisation(assignments, seed=seed)
    seen = inspect(adapted)
    return ExpertsExamined(
        step=step,
        conversations=len({example.conversation for example in chosen}),
        of_conversations=len({example.conversation for example in examples}),
        tokens=sum(example.tokens for example in chosen),
        targets=sum(example.targets for example in chosen),
        examine_s=time.perf_counter() - started,
        routed=routed.loss,
        average=average.loss,
        forced=tuple(each.loss for each in forced),
        ablated=tuple(each.loss for each in ablated),
        routed_domains=dict(routed.domains),
        average_domains=dict(average.domains),
        forced_domains=_by_domain(forced, domains),
        ablated_domains=_by_domain(ablated, domains),
        mutual_information=found.information if found else None,
        permuted_mean=found.permuted_mean if found else None,
        permuted_p99=found.permuted_p99 if found else None,
        permutations=found.permutations if found else 0,
        layer_information=found.layer_information if found else (),
        similarity=_rows(seen.similarity.mean(0)),
        layer_similarity=tuple(seen.layer_similarity.tolist()),
        norms=_rows(seen.norms),
        attention_norms=tuple(seen.attention_norms.tolist()),
    )


def _questions(num_experts: int) -> Iterator[GateOverride | None]:
    """Routed, average, then each expert forced and each ablated; the most wanted first, as time may run out."""
    yield None
    yield Uniform()
    yield from (Forced(expert) for expert in range(num_experts))
    yield from (Ablated(expert) for expert in range(num_experts))


def _by_domain(passes: Sequence[GatedLoss], domains: Sequence[str]) -> dict[str, Row]:
    return {
        name: tuple(each.domains[name] for each in passes) for name in domains if passes and name in passes[0].domains
    }


def _rows(table: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())
