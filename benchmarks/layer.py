"""The fast path against the reference path: training tokens per processor-second, forward and backward, on one thread.

    python benchmarks/layer.py --rounds 7 --out benchmarks/results/layer-cpu.json

Both compute the same loss and gradients of the same bins, in turns; a round is all bins of a case once on each path.
`demo` is the built-in model on its own conversations; the others are random weights, with lengths drawn log-normally.
Peers are measured elsewhere: the reference shares Stint's packing and loss, so this is the gain of the layers alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from intervals import interval
from machine import machine

from configs.load import demo_dir, load
from engine.data.batches import Bin, Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import prepare
from engine.model.adapters import Adapted, attach
from engine.model.forward import forward_loss, valid_tokens
from engine.model.load import load_base, load_tokenizer
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.training.build import adapter_spec

VOCABULARY = 4096
SHAPES = {"hidden-256": (256, 640, 4), "hidden-512": (512, 1408, 8)}
"""Hidden and inner size and heads of the random models; four layers each, two key heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case."""

    case: str
    experts: int
    tokens: int
    mean_conversation: float
    reference: float
    """Tokens per processor-second, median over rounds, as is `fast`."""
    fast: float
    ratio: float
    ratio_low: float
    ratio_high: float
    reference_bytes: float
    """Kept for backward, per token; as is `fast_bytes`."""
    fast_bytes: float


def demo_case() -> tuple[Adapted, list[Bin]]:
    """The demo's model and the first bins of its run."""
    config = load(demo_dir())
    base = Path(config.training.base_model)
    prepared = prepare(config, load_tokenizer(base, None))
    model = load_base(base, dtype=torch.float32, device=torch.device("cpu"))
    adapted = attach(model, adapter_spec(config, prepared.domains))
    steps = Steps(prepared.train, config.training.conversations_per_step, config.training.seed)
    return adapted, [one for step in range(2) for one in make_bins(steps.at(step), config.training.bin_tokens)]


def random_case(name: str, mode: str, bin_tokens: int) -> tuple[Adapted, list[Bin]]:
    """A Mistral-shaped model of random weights, and conversations of which two thirds carry loss."""
    from transformers import MistralConfig, MistralForCausalLM

    hidden, inner, heads = SHAPES[name]
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=2,
        sliding_window=None,
        tie_word_embeddings=False,
    )
    adapted = attach(MistralForCausalLM(config), AdapterSpec(mode=mode))
    chance = random.Random(0)
    examples = [_example(chance, min(bin_tokens, _length(chance))) for _ in range(8)]
    return adapted, make_bins(examples, bin_tokens)


def _length(chance: random.Random) -> int:
    """Log-normal with a mean of 500, as in the measurements of peers."""
    return max(50, int(chance.lognormvariate(math.log(500) - 0.32, 0.8)))


def _example(chance: random.Random, length: int) -> Example:
    ids = torch.randint(3, VOCABULARY, (length,), generator=torch.Generator().manual_seed(chance.getrandbits(32)))
    labels = ids.clone()
    labels[: length // 3] = -100
    return Example(
        ids=ids.numpy().astype("int32"), labels=labels.numpy().astype("int32"), domain_index=-1, conversation=0
    )


def measure(case: str, adapted: Adapted, bins: list[Bin], rounds: int) -> Row:
    """Interleaved rounds of both paths."""
    normal_routers(adapted)
    tokens = sum(valid_tokens(one) for one in bins)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for reference in (True, False):
        one_pass(adapted, bins, reference=reference)
    for _ in range(rounds):
        for reference in (True, False):
            started = time.process_time()
            one_pass(adapted, bins, reference=reference)
            rates[reference].append(tokens / (time.process_time() - started))
    ratios = interval([fast / slow for fast, slow in zip(rates[False], rates[True], strict=True)])
    return Row(
        case=case,
        experts=adapted.spec.num_experts if adapted.spec.routed else 0,
        tokens=tokens,
        mean_conversation=tokens / sum(len(one.starts) - 1 for one in bins),
        reference=median(rates[True]),
        fast=median(rates[False]),
        ratio=ratios.median,
        ratio_low=ratios.low,
        ratio_high=ratios.high,
        reference_bytes=_kept(adapted, bins[0], reference=True),
        fast_bytes=_kept(adapted, bins[0], reference=False),
    )


def one_pass(adapted: Adapted, bins: list[Bin], *, reference: bool) -> None:
    """Forward and backward over all bins, which leaves nothing behind."""
    adapted.routing.begin_step(sum(valid_tokens(one) for one in bins))
    with adapted.compute.on_reference() if reference else nullcontext():
        for one in bins:
            torch.autograd.backward(forward_loss(adapted, one, scale=1.0 / one.targets))
    adapted.routing.discard_step()
    for parameter in adapted.parameters().values():
        parameter.grad = None


def _kept(adapted: Adapted, packed: Bin, *, reference: bool) -> float:
    """Bytes of storage that autograd holds between forward and backward, weights aside, per token."""
    weights = {each.untyped_storage().data_ptr() for each in adapted.model.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    adapted.routing.begin_step(valid_tokens(packed))
    held: list[torch.Tensor] = []
    with (
        adapted.compute.on_reference() if reference else nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        held.append(forward_loss(adapted, packed))
    return sum(seen.values()) / valid_tokens(packed)


CASES: dict[str, Callable[[], tuple[Adapted, list[Bin]]]] = {
    "demo, bins of 512": demo_case,
    "hidden-256, bins of 512": partial(random_case, "hidden-256", "moe", 512),
    "hidden-256, bins of 2048": partial(random_case, "hidden-256", "moe", 2048),
    "hidden-256, no experts": partial(random_case, "hidden-256", "lora", 2048),
    "hidden-512, bins of 2048": partial(random_case, "hidden-512", "moe", 2048),
}


def _line(row: Row) -> str:
    span = f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"
    kept = f"{row.reference_bytes / 1024:.1f} -> {row.fast_bytes / 1024:.1f}"
    speeds = f"{row.reference:>11,.0f}{row.fast:>8,.0f}{row.ratio:>7.2f}"
    return f"{row.case:<26}{row.experts:>8}{speeds}  {span:<14}{kept:>15}"


def main() -> None:
    """Measure every case, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'case':<26}{'experts':>8}{'reference':>11}{'fast':>8}{'ratio':>7}  {'95% interval':<14}{'KiB/token':>15}")
    rows: list[Row] = []
    for case, make in CASES.items():
        rows.append(measure(case, *make(), chosen.rounds))
        print(_line(rows[-1]), flush=True)
    if chosen.out is not None:
        written: dict[str, Any] = {"machine": machine(), "rounds": chosen.rounds, "rows": [asdict(row) for row in rows]}
        chosen.out.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
