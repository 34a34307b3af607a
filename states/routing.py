"""Expert usage as shares, worked out from the counts in the journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from states.events import ExpertsSampled
from states.view import Experts


def experts(event: ExpertsSampled, wall: float) -> Experts | None:
    """Shares and entropies of one sample; `None` when no layer routed any token."""
    width = max(map(len, event.counts), default=0)
    layers = tuple(share for counts in event.counts if (share := shares(counts, width)))
    if not layers:
        return None
    domains = {name: share for name, counts in event.domains.items() if (share := shares(counts, width))}
    return Experts(
        step=event.step,
        wall=wall,
        window_steps=event.window_steps,
        shares=tuple(_mean(column) for column in zip(*layers, strict=True)),
        layer_shares=layers,
        entropy=_mean([entropy(share) for share in layers]),
        token_entropy=_mean_known(event.token_entropy),
        balance_loss=event.balance_loss,
        domains=domains,
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return _mean(known) if known else None
