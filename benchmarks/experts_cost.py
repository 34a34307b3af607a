"""What a step of the mixture costs over a step of plain rank-16 LoRA: processor time, in interleaved rounds.

    python benchmarks/experts_cost.py --out benchmarks/results/experts-cost-cpu.json

A round takes the same conversations once through every arm, in an order drawn anew: the engine's own step with
packing, forward, backward, clipping and AdamW, on one thread. `control` is `plain` again, on a model of its own: what
this machine makes of no difference. `equal` is plain LoRA that trains as many values as the mixture.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from equal import equal_rank, trainable
from intervals import interval
from machine import machine
from transformers import AutoModelForCausalLM, MistralConfig, PretrainedConfig, PreTrainedModel

from configs.load import demo_dir, load
from configs.schema import Config
from engine.data.batches import Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import prepare
from engine.model.adapters import attach
from engine.model.load import load_base, load_tokenizer
from engine.model.prototypes import initialise_routers
from engine.model.spec import AdapterMode, AdapterSpec, ExpertMode
from engine.training.optimizer import build_optimizer
from engine.training.pace import Pace
from engine.training.step import take_step
from engine.training.trainer import Trainer

DOMAINS = ("a", "b", "c", "d")
LENGTHS = (290, 620, 170, 440)
"""Tokens of the conversations of a step on random weights, 1,520 in one bin; two thirds carry loss."""
VOCABULARY = 4096
WARM = 2
"""Rounds that do not count."""


def wide_shape() -> MistralConfig:
    """Two layers of hidden size 1024, inner size 2816."""
    return MistralConfig(
        vocab_size=VOCABULARY,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_key_value_heads=4,
        sliding_window=None,
        tie_word_embeddings=False,
    )


def invented() -> list[Example]:
    """One step's conversations of random words."""
    chance = torch.Generator().manual_seed(0)
    made = []
    for index, length in enumerate(LENGTHS):
        ids = torch.randint(3, VOCABULARY, (length,), generator=chance)
        labels = ids.clone()
        labels[: length // 3] = -100
        made.append(
            Example(
                ids=ids.numpy().astype("int32"),
                labels=labels.numpy().astype("int32"),
                domain_index=index,
                conversation=index,
            )
        )
    return made


def arms(shape: PretrainedConfig) -> dict[str, AdapterSpec]:
    """What is compared."""
    plain = AdapterSpec(mode=AdapterMode.LORA, rank=16, domains=DOMAINS)
    rank = equal_rank(shape)
    return {
        "plain": plain,
        "control": plain,
        "equal": replace(plain, rank=rank, alpha=2.0 * rank),
        "shared": AdapterSpec(domains=DOMAINS),
        "private": AdapterSpec(experts=ExpertMode.PRIVATE, domains=DOMAINS),
    }


def learner(model: PreTrainedModel, spec: AdapterSpec, config: Config, examples: Sequence[Example]) -> Trainer:
    """As much of a trainer as a step asks for."""
    adapted = attach(model, spec)
    initialise_routers(adapted, make_bins(examples, config.training.bin_tokens))
    named = adapted.parameters()
    return Trainer(
        config=config,
        adapted=adapted,
        tokenizer=cast("Any", None),
        optimizer=build_optimizer(named, config.training),
        parameters=list(named.values()),
        steps=Steps(examples, len(examples), 0),
        prepared=cast("Any", None),
        device=adapted.device,
        bin_tokens=config.training.bin_tokens,
        max_grad_norm=config.safety.max_grad_norm,
        pace=Pace(planned_step_s=1.0),
        runtime={},
        plan=cast("Any", None),
    )


def demo_case() -> tuple[dict[str, Trainer], list[Example], PretrainedConfig]:
    """The demo's base and the conversations of its first step, in its bins of 512 tokens."""
    config = load(demo_dir())
    base = Path(config.training.base_model)
    prepared = prepare(config, load_tokenizer(base, None))
    examples = Steps(prepared.train, config.training.conversations_per_step, config.training.seed).at(0)
    shape = AutoModelForCausalLM.from_pretrained(base).config

    def fresh() -> PreTrainedModel:
        return load_base(base, dtype=torch.float32, device=torch.device("cpu"))

    return {name: learner(fresh(), spec, config, examples) for name, spec in arms(shape).items()}, examples, shape


def wide_case() -> tuple[dict[str, Trainer], list[Example], PretrainedConfig]:
    """Random weights at hidden 1024."""
    config = load(demo_dir(), overrides=("training.bin_tokens=2048",))
    examples, shape = invented(), wide_shape()

    def fresh() -> PreTrainedModel:
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(shape)
        return model

    return {name: learner(fresh(), spec, config, examples) for name, spec in arms(shape).items()}, examples, shape


def measure(trainers: dict[str, Trainer], examples: Sequence[Example], rounds: int) -> list[dict[str, float]]:
    """Processor seconds of one step of every arm, round by round."""
    chance = random.Random(0)
    found: list[dict[str, float]] = []
    for number in range(WARM + rounds):
        spent: dict[str, float] = {}
        for name in chance.sample(sorted(trainers), k=len(trainers)):
            began = time.process_time()
            stats = take_step(trainers[name], make_bins(examples, trainers[name].bin_tokens), rate=1e-4, ramp=1.0)
            spent[name] = time.process_time() - began
            if stats.rejected:
                raise RuntimeError(f"{name}: {stats.rejected}")
        if number >= WARM:
            found.append(spent)
    return found


def case(name: str, rounds: int, earlier: list[dict[str, float]]) -> dict[str, Any]:
    """One shape: the arms' median step and their ratio to `plain` of the same round, with the rounds of `earlier`."""
    trainers, examples, shape = demo_case() if name == "demo" else wide_case()
    found = [*earlier, *measure(trainers, examples, rounds)]
    rows = []
    for arm, spec in arms(shape).items():
        ratio = interval([each[arm] / each["plain"] for each in found])
        size, step_s = trainable(shape, spec), median(each[arm] for each in found)
        rows.append({"arm": arm, "rank": spec.rank, "trainable": size, "step_s": step_s, "ratio": asdict(ratio)})
        span = f"{ratio.median:>8.3f}  [{ratio.low:.3f}, {ratio.high:.3f}]"
        print(f"{name:<7}{arm:<9}{spec.rank:>5}{size:>12,}{step_s:>9.3f} s{span}", flush=True)
    return {"case": name, "tokens": sum(each.tokens for each in examples), "rows": rows, "rounds": found}


def main() -> None:
    """Measure both shapes, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cases", nargs="+", choices=("demo", "wide"), default=("demo", "wide"))
    parser.add_argument("--out", type=Path, help="JSON; rounds that it holds are kept and counted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    cases: dict[str, dict[str, Any]] = {each["case"]: each for each in known.get("cases", [])}
    about = machine()
    print(f"{'case':<7}{'arm':<9}{'rank':>5}{'trainable':>12}{'step':>11}{'ratio':>8}  95% interval")
    for name in options.cases:
        cases[name] = case(name, options.rounds, cases.get(name, {}).get("rounds", []))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"machine": about, "cases": list(cases.values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
