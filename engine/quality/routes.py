"""Where the routers send what, and what it is worth: shares by domain, information against chance, forced experts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from engine.quality.bench import Bench
from engine.quality.experts import examine, num_passes
from engine.quality.findings import Cell, Check, Measure, Method, Section, Table, Verdict
from engine.quality.intervals import share
from engine.quality.specialisation import Assignments, merge, specialisation
from states.events import ExpertsExamined

LARGEST, SMALLEST = 1.2, 0.8
"""The even shares within which experts are called balanced: 30 and 20% of four experts."""

CAVEAT = (
    "Experts often specialise by kinds of tokens rather than by topic, and the balance loss works against it where "
    "domains are alike (arXiv 2604.09780): a flat table is a finding, not an error."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Which expert each domain was given, and by what."""

    experts: dict[str, int]
    by: str


def routes(bench: Bench) -> Iterator[Section]:
    """The section; a plain LoRA has nothing to route."""
    if not bench.adapted.spec.routed:
        yield Section(name="routing", title="Expert routing", caveat="This model is a plain LoRA without experts.")
        return
    found = assignments(bench)
    names = bench.held.domains
    told = examine(
        bench.adapted,
        bench.examples,
        step=0,
        domains=names,
        bin_tokens=max(bench.bin_tokens, max(example.tokens for example in bench.examples)),
        seed=bench.settings.seed,
        stop=bench.stop,
        progressed=lambda done: bench.progress("experts", done, num_passes(bench.adapted.spec.num_experts)),
    )
    checks = [*_balance(found), *_information(found, bench.settings.seed), *_correct(bench, found)]
    tables = [share_table(found, names), layer_table(found, names)]
    if told is not None:
        checks += _worth(told)
        tables += causal_tables(told)
    yield Section(
        name="routing",
        title="Expert routing",
        caveat=CAVEAT,
        checks=tuple(checks),
        tables=tuple(table for table in tables if table.rows),
        unfinished="interrupted" if told is None or not told.ablated else "",
    )


def assignments(bench: Bench) -> Assignments:
    """What the routers chose, by conversation, over all of its tokens."""
    domains = torch.tensor([example.domain_index for example in bench.examples], dtype=torch.int64)
    counts = bench.scored.assignments
    return merge([Assignments(counts=counts, domains=domains)], [example.conversation for example in bench.examples])


def share_table(found: Assignments, names: Sequence[str]) -> Table:
    """Domain by expert, over all layers."""
    counts = found.counts.sum(0)
    rows = [_shares(name, counts[found.domains == index].sum(0)) for index, name in enumerate(names)]
    return Table(
        title="Share of tokens by domain",
        columns=("domain", *_experts(counts.shape[1])),
        rows=(*rows, _shares("all", counts.sum(0))),
        caption="mean over layers; each token goes to top_k experts and counts for each of them",
    )


def layer_table(found: Assignments, names: Sequence[str]) -> Table:
    """The same for each layer."""
    rows = [
        (layer, *_shares(name, counts[found.domains == index].sum(0)))
        for layer, counts in enumerate(found.counts)
        for index, name in enumerate(names)
    ]
    return Table(
        title="The same by layer", columns=("layer", "domain", *_experts(found.counts.shape[2])), rows=tuple(rows)
    )


def causal_tables(told: ExpertsExamined) -> list[Table]:
    """Loss by domain when every token goes to one expert, and when one expert is silenced."""
    caption = f"nats per token over {told.conversations:,} conversations"
    made = []
    for title, losses, by_domain, word in (
        ("Loss with one expert alone", told.forced, told.forced_domains, "only"),
        ("Loss with one expert silenced", told.ablated, told.ablated_domains, "without"),
    ):
        heads = ("domain", "routed", "average", *(f"{word} {expert}" for expert in range(len(losses))))
        rows: list[tuple[Cell, ...]] = [
            (name, told.routed_domains.get(name), told.average_domains.get(name), *row)
            for name, row in by_domain.items()
        ]
        if losses:
            rows.append(("all", told.routed, told.average, *losses))
        made.append(Table(title=title, columns=heads, rows=tuple(rows), caption=caption))
    return made


def declared(bench: Bench) -> Declared | None:
    """Which domain each expert was meant for: `moe.domains`, else where its router started; None where nothing says so.

    Prototypes give expert number n the n-th domain when there are as many domains as experts.
    """
    config, spec = bench.subject.config, bench.adapted.spec
    if config is None or config.moe.router_init != "prototypes":
        return None
    named = config.moe.domains
    names = named or bench.subject.trained_domains()
    if names is None or len(names) != spec.num_experts:
        return None
    by = "moe.domains" if named else "the domains that the routers started from"
    return Declared(experts={name: expert for expert, name in enumerate(names)}, by=by)


def _correct(bench: Bench, found: Assignments) -> Iterator[Check]:
    meant = declared(bench)
    if meant is None:
        return
    wanted = [meant.experts.get(name, -1) for name in bench.held.domains]
    top = found.counts.sum(0).argmax(-1).tolist()
    judged = [
        (expert, wanted[domain])
        for expert, domain in zip(top, found.domains.tolist(), strict=True)
        if domain >= 0 and wanted[domain] >= 0
    ]
    yield Check(
        id="routing.correct",
        title="Conversations led by their domain's expert",
        method=Method.MEASURED,
        unit="share",
        n=len(judged),
        tuned=share(sum(expert == mine for expert, mine in judged), len(judged)),
        note=f"Domains by {meant.by}; chance is {1 / len(meant.experts):.0%}.",
    )


def _balance(found: Assignments) -> Iterator[Check]:
    counts = found.counts.sum((0, 1)).to(torch.float64)
    usage = counts / counts.sum().clamp(min=1)
    most, least = LARGEST / len(usage), SMALLEST / len(usage)
    for name, title, value, threshold, held in (
        ("largest", "Busiest expert's share of tokens", usage.max(), f"at most {most:.0%}", usage.max() <= most),
        ("smallest", "Idlest expert's share", usage.min(), f"at least {least:.0%}", usage.min() >= least),
    ):
        yield Check(
            id=f"routing.{name}",
            title=title,
            method=Method.MEASURED,
            unit="share",
            n=found.counts.shape[1],
            tuned=Measure(value=float(value)),
            threshold=threshold,
            verdict=Verdict.PASS if bool(held) else Verdict.FAIL,
            note="A target of balance over all layers; it decides nothing.",
        )


def _information(found: Assignments, seed: int) -> Iterator[Check]:
    told = specialisation(found, seed=seed)
    if told is None:
        return
    above = told.information > told.permuted_p99
    yield Check(
        id="routing.information",
        title="Domain and expert tell of each other",
        method=Method.MEASURED,
        unit="nats",
        n=found.counts.shape[1],
        tuned=Measure(value=told.information),
        note=(
            f"Mutual information; with domains permuted over conversations {told.permuted_mean:.4f} on average, 99th "
            f"percentile {told.permuted_p99:.4f} of {told.permutations:,}: {'more than' if above else 'no more than'} "
            "chance."
        ),
    )


def _worth(told: ExpertsExamined) -> Iterator[Check]:
    if told.routed is None or told.average is None:
        return
    yield Check(
        id="routing.gap",
        title="Loss saved by routing over the average",
        method=Method.MEASURED,
        unit="nats",
        n=told.conversations,
        tuned=Measure(value=told.average - told.routed),
        note="Against the standard adapter, which is the uniform average of the experts.",
    )


def _experts(count: int) -> tuple[str, ...]:
    return tuple(f"expert {number}" for number in range(count))


def _shares(name: str, counts: torch.Tensor) -> tuple[Cell, ...]:
    total = int(counts.sum())
    return (name, *(count / total if total else None for count in counts.tolist()))
