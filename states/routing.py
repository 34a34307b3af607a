"""Expert usage as shares, worked out from the counts in the journal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from states.events import ExpertsSampled
from states.mixture import Experts, Extreme


def experts(event: ExpertsSampled, wall: float) -> Experts | None:
    """Shares and entropies of one sample; `None` when no layer routed any token."""
    width = max(map(len, event.counts), default=0)
    layers = tuple(share for counts in event.counts if (share := shares(counts, width)))
    if not layers:
        return None
    domains = {name: share for name, counts in event.domains.items() if (share := shares(counts, width))}
    mass = tuple(row for row in event.gate_mass if len(row) == width and all(map(math.isfinite, row)))
    entropies = tuple(entropy(share) for share in layers)
    return Experts(
        step=event.step,
        wall=wall,
        window_steps=event.window_steps,
        shares=_columns(layers),
        layer_shares=layers,
        entropy=_mean(entropies),
        token_entropy=_mean_known(event.token_entropy),
        balance_loss=event.balance_loss,
        domains=domains,
        layer_entropy=entropies,
        variation=_mean([variation(share) for share in layers]),
        dominant=_extreme(layers, max),
        weakest=_extreme(layers, min),
        gate_mass=_columns(mass) if mass else (),
        layer_gate_mass=mass,
        information=mutual_information(tuple(event.domains.values())),
    )


def shares(counts: Sequence[int], width: int) -> tuple[float, ...]:
    """Counts as shares of their sum, `width` of them; empty when nothing was counted."""
    padded = [max(0, count) for count in counts[:width]] + [0] * (width - len(counts))
    total = sum(padded)
    return tuple(count / total for count in padded) if total else ()


def entropy(share: Sequence[float]) -> float:
    """Shannon entropy in nats; ln(len) for a uniform distribution."""
    # 0.0 minus, not a leading minus: a single expert has entropy 0.0, not -0.0.
    return 0.0 - sum(p * math.log(p) for p in share if p > 0)


def variation(share: Sequence[float]) -> float:
    """Coefficient of variation of usage: standard deviation over mean (Shazeer et al. 2017); 0 is balanced."""
    even = _mean(share)
    return math.sqrt(_mean([(p - even) ** 2 for p in share])) / even if even else 0.0


def mutual_information(table: Sequence[Sequence[int]]) -> float | None:
    """Between rows (domains) and columns (experts) of a table of counts, nats; None with fewer than two filled rows.

    With `k` equally weighted experts of `E` on each token it is at most ln(E / k). It is biased upwards in a small
    sample: compare it with its value under permuted domains.
    """
    rows = [[max(0, count) for count in row] for row in table]
    rows = [row for row in rows if sum(row) > 0]
    if len(rows) < 2:
        return None
    total = sum(map(sum, rows))
    width = max(map(len, rows))
    columns = [sum(row[i] for row in rows if i < len(row)) / total for i in range(width)]
    information = 0.0
    for row in rows:
        part = sum(row) / total
        information += sum(n / total * math.log(n / total / (part * columns[i])) for i, n in enumerate(row) if n)
    return max(0.0, information)


def _extreme(layers: Sequence[Sequence[float]], choose: Callable[..., float]) -> Extreme:
    cells = {(i, j): share for i, layer in enumerate(layers) for j, share in enumerate(layer)}
    value = choose(cells.values())
    layer, expert = next(cell for cell, share in cells.items() if share == value)
    return Extreme(layer=layer, expert=expert, share=value)


def _columns(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(_mean(column) for column in zip(*rows, strict=True))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return _mean(known) if known else None
