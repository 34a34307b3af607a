"""How fast will it go? Assumed before anything ran, remembered from the last run on this device, or measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from configs.profiles import PROFILES

REFERENCE_PARAMS = 12_247_782_400
"""The base for which the profiles state their tokens a second."""

CPU_FLOPS_PER_CORE = 25e9
"""What the small matrix products of a small base get from one core: 28e9 on an AMD EPYC with other work beside it."""

FLOPS_PER_PARAMETER = 4
"""Per token: two in the forward pass and two for the gradient of the activations. The base's own weights have none."""

FORWARD_SHARE = 1 / 3
"""Work of a token that is only read, against one that is trained on, until both were measured."""

READ_BYTES_PER_S = 50e6
"""Loading the base: 8 minutes for 24.5 GB, the middle of the 5 to 10 minutes that rented disks take for 12B."""

DOWNLOAD_BYTES_PER_S = 50e6
"""Bringing it from the hub: what rented machines get from it on a bad day."""

IMPORTS_S = 10.0
"""Starting Python with torch and transformers, reading the data."""

BUILD_S = 3.0
"""Importing a base's own module and building it with its adapters, however small it is."""

MEASURED_BINS = 7
"""Bins that Init times: one to fill caches and compilers, six to go by. At 12B about a minute at the assumed speed."""

MOST_MEASURED_BINS = 32
MEASURED_SHARE = 0.05
"""Of the run's bins, that Init may time beyond the first ones, up to the most ..."""

MEASURED_S = 3.0
"""... while they are so quick that these seconds are not over: where a library writes code for each length it meets,
the first few bins are slower than those that follow, by a fifth on two cores."""

TRIAL_TOKENS = 5 * 1024
"""Tokens of Init's check that the loss falls: five passes over a few short conversations."""

SAVE_BYTES_PER_S = 100e6
"""Writing, syncing and hashing a checkpoint: the slow end of 100 to 160 MB/s seen on two busy cores."""

SAVE_LEAST_S = 0.1

LEAST_SAMPLES = 3
"""Steps before a median is worth more than an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Speeds and prices of the parts of a run. `source` is `assumed`, `history` or `measured`."""

    tokens_per_s: float
    source: str
    setup_s: float
    """All that passes before the first step."""
    save_s: float
    """One checkpoint."""
    finalize_s: float | None = None
    """Finalize as measured or known; None lets the plan work it out."""
    read_tokens_per_s: float | None = None
    """Tokens that are only read, as an evaluation does; None takes `FORWARD_SHARE` of the work."""

    def __post_init__(self) -> None:
        if not self.tokens_per_s > 0:
            raise ValueError(f"a throughput of {self.tokens_per_s} tokens a second")

    @property
    def read_s(self) -> float:
        """Seconds for one token that is only read."""
        if self.read_tokens_per_s is not None:
            return 1.0 / self.read_tokens_per_s
        return FORWARD_SHARE / self.tokens_per_s

    def at(self, tokens_per_s: float) -> Costs:
        """The same at another speed of training; reading changes with it."""
        read = self.read_tokens_per_s
        return replace(
            self,
            tokens_per_s=tokens_per_s,
            read_tokens_per_s=None if read is None else read * tokens_per_s / self.tokens_per_s,
        )


def assumed(
    *,
    profile: str,
    base_params: int,
    device: str,
    cores: int,
    checkpoint_bytes: int,
    tokens_per_s: float | None = None,
    init_tokens: int = 0,
) -> Costs:
    """Return what to expect before anything was measured.

    On a GPU the profile's figure for the 12B base, in proportion to the parameters; on a CPU from its cores. With
    `tokens_per_s` that speed instead. `init_tokens` are those that Init passes through the model.
    """
    if tokens_per_s is None and device == "cuda":
        tokens_per_s = PROFILES[profile].tokens_per_second * REFERENCE_PARAMS / base_params
    elif tokens_per_s is None:
        slowdown = PROFILES["balanced"].tokens_per_second / PROFILES[profile].tokens_per_second
        tokens_per_s = CPU_FLOPS_PER_CORE * cores / (FLOPS_PER_PARAMETER * base_params) / slowdown
    return Costs(
        tokens_per_s=tokens_per_s,
        source="assumed",
        setup_s=IMPORTS_S + BUILD_S + 2 * base_params / READ_BYTES_PER_S + init_tokens / tokens_per_s,
        save_s=SAVE_LEAST_S + checkpoint_bytes / SAVE_BYTES_PER_S,
    )


def remembered(costs: Costs, known: Mapping[str, float], *, passed_s: float = 0.0) -> Costs:
    """Return `costs` with what an earlier run on this device measured, by the names of `Costs`, and `init_s`.

    `passed_s` is how long Setup has taken so far, to which the earlier run's Init is added.
    """
    if "tokens_per_s" not in known:
        return costs
    return replace(
        costs.at(known["tokens_per_s"]),
        source="history",
        read_tokens_per_s=known.get("read_tokens_per_s"),
        save_s=known.get("save_s", costs.save_s),
        setup_s=passed_s + known["init_s"] if "init_s" in known else costs.setup_s,
    )


def measured(samples: Sequence[tuple[int, float]]) -> float | None:
    """Return the median tokens a second of (tokens, seconds) steps, None for too few to tell.

    The first is left out where there are enough: it warms caches and compilers.
    """
    rates = [tokens / seconds for tokens, seconds in samples if seconds > 0 and tokens > 0]
    if len(rates) > LEAST_SAMPLES:
        rates = rates[1:]
    return statistics.median(rates) if len(rates) >= LEAST_SAMPLES else None
