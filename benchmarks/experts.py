"""Plain LoRA at equal parameters against experts with a shared A and with an A each, on two tasks of four domains.

    python benchmarks/experts.py --minutes 9 --out benchmarks/results/experts-cpu.json

`demo` is one pass of the built-in demo by the engine itself, and its numbers are read from the run's journal. `planted`
is a small random base on which domains need different answers (`planted.py`). A seed changes the adapters' start, the
routers' and the order of conversations. Every finished run is written to `--out` at once, and the next command goes on
from there, until nothing lacks. What a step costs is measured by `experts_cost.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import planted
import torch
from equal import equal_rank, trainable
from machine import machine

from configs.load import demo_dir
from engine.model.spec import AdapterMode, AdapterSpec, ExpertMode
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from engine.training.main import run_engine
from states.events import EvalCompleted, ExpertsExamined, ExpertsSampled, ModelLoaded, StepCompleted
from states.phases import ExitCode

TASKS = ("planted", "demo")
SEEDS = (1, 2, 3, 4, 5)
VARIANTS = {
    "plain": AdapterSpec(mode=AdapterMode.LORA),
    "shared": AdapterSpec(),
    "private": AdapterSpec(experts=ExpertMode.PRIVATE),
}
DEMO = (
    "training.num_train_epochs=1",
    "training.threads=1",
    "training.max_training_hours=2",
    "safety.enable_early_stopping=false",
    "safety.checkpoint_interval_minutes=600",
)
"""53 steps of the demo's 106; nothing else of it is changed but the adapters and the seed."""
BAND = 0.20, 0.30
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t for a 95% interval of so many values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One variant, task and seed, as its journal tells. Losses are nats a target token of all validation data."""

    task: str
    variant: str
    seed: int
    commit: str | None
    trainable: int
    rank: int
    steps: int
    cpu_s: float
    """Processor seconds of the whole run; of use as a size only."""
    start: float
    """Loss of the untouched model."""
    loss: float
    """After training: of the demo the best checkpoint, of the planted task the last step. So are all numbers below."""
    domains: dict[str, float]
    usage: list[list[float]]
    """Share of assignments, layers by experts, on validation; empty without experts, as is what follows."""
    worst: list[float]
    """Least and greatest share of any layer in any evaluation of the run."""
    gate_entropy: list[float]
    """Of each layer: mean entropy of a token's router distribution, nats; ln 4 = 1.386 is undecided."""
    information: float | None
    """Mutual information of domain and expert, nats, mean over layers."""
    permuted_mean: float | None
    permuted_p99: float | None
    routed: float | None
    """Loss over the examination's part of the validation data; `average` is that of uniform gates."""
    average: float | None


def specs(task: str) -> dict[str, AdapterSpec]:
    """The variants of a task: the mixtures' rank is the task's, plain LoRA has the one that trains as many values."""
    rank = 16 if task == "demo" else planted.RANK
    made = {name: replace(spec, rank=rank, alpha=2.0 * rank) for name, spec in VARIANTS.items()}
    equal = equal_rank(demo_dir() / "base" if task == "demo" else planted.shape(), made["shared"])
    return made | {"plain": replace(made["plain"], rank=equal, alpha=2.0 * equal)}


def run_one(task: str, variant: str, seed: int, spec: AdapterSpec, place: Path) -> Run:
    """Train and read what came of it."""
    began = time.process_time()
    told = _demo(variant, seed, spec, place) if task == "demo" else _planted(seed, spec)
    return Run(
        task=task,
        variant=variant,
        seed=seed,
        commit=machine()["commit"],
        rank=spec.rank,
        cpu_s=time.process_time() - began,
        **told,
    )


def _planted(seed: int, spec: AdapterSpec) -> dict[str, Any]:
    outcome = planted.train(replace(spec, seed=seed, domains=planted.DOMAINS), seed)
    entropy = () if outcome.end.routing is None else outcome.end.routing.token_entropy
    return {
        "trainable": trainable(planted.shape(), spec),
        "steps": planted.PASSES * planted.TRAINING // planted.PER_STEP,
        "start": outcome.start.loss,
        "loss": outcome.end.loss,
        "domains": outcome.end.domains,
        **_routing(outcome.usage, entropy, outcome.examined),
    }


def _demo(variant: str, seed: int, spec: AdapterSpec, place: Path) -> dict[str, Any]:
    output = place / f"{variant}-{seed}"
    adapters = (
        f"moe.adapter_mode={spec.mode}",
        f"moe.expert_mode={spec.experts}",
        f"moe.lora_rank={spec.rank}",
        f"moe.lora_alpha={spec.alpha}",
    )
    choice = Choice(
        config=demo_dir(), output_dir=output, manual=True, overrides=(*DEMO, *adapters, f"training.seed={seed}")
    )
    if run_engine(choose(choice), quiet=True) != ExitCode.FINISHED:
        raise RuntimeError(f"{output} did not finish; see its training.log")
    events = [record.event for record in read(RunDir(output).events)]
    full = [each for each in events if isinstance(each, EvalCompleted) and each.scope == "full"]
    samples = [each for each in events if isinstance(each, ExpertsSampled) and each.source == "eval"]
    usage = [[[count / sum(layer) for count in layer] for layer in each.counts] for each in samples]
    examined = next((each for each in events if isinstance(each, ExpertsExamined)), None)
    return {
        "trainable": next(each.trainable_params for each in events if isinstance(each, ModelLoaded)),
        "steps": sum(isinstance(each, StepCompleted) for each in events),
        "start": full[0].loss,
        "loss": full[-1].loss,
        "domains": full[-1].domains,
        **_routing(usage, samples[-1].token_entropy if samples else (), examined),
    }


def _routing(
    usage: list[list[list[float]]], entropy: Sequence[float | None], examined: ExpertsExamined | None
) -> dict[str, Any]:
    """What is told of routers; `usage` of every evaluation, the last one being that of the finished model."""
    every = [share for table in usage for layer in table for share in layer]
    return {
        "usage": usage[-1] if usage else [],
        "worst": [min(every), max(every)] if every else [],
        "gate_entropy": [value for value in entropy if value is not None],
        "information": None if examined is None else examined.mutual_information,
        "permuted_mean": None if examined is None else examined.permuted_mean,
        "permuted_p99": None if examined is None else examined.permuted_p99,
        "routed": None if examined is None else examined.routed,
        "average": None if examined is None else examined.average,
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds and the half-width of its 95% interval (Student's t), which one value does not have."""
    many = len(values)
    half = T95[many] * stdev(values) / many**0.5 if many in T95 else None
    return {"mean": fmean(values) if values else None, "half": half}


def _cell(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def summary(runs: list[Run]) -> list[dict[str, Any]]:
    """A row for each task and variant: over seeds, and against plain LoRA of the same seed."""
    rows = []
    for task in TASKS:
        plain = {run.seed: run for run in runs if (run.task, run.variant) == (task, "plain")}
        for variant in VARIANTS:
            own = [run for run in runs if (run.task, run.variant) == (task, variant)]
            if own:
                rows.append({"task": task, "variant": variant, **_row(own, plain)})
    return rows


def _row(own: list[Run], plain: dict[int, Run]) -> dict[str, Any]:
    names = sorted(own[0].domains)
    row: dict[str, Any] = {
        "seeds": [run.seed for run in own],
        "rank": own[0].rank,
        "trainable": own[0].trainable,
        "start": own[0].start,
        "loss": spread([run.loss for run in own]),
        "domains": {name: spread([run.domains[name] for run in own]) for name in names},
        "less_plain": spread([run.loss - plain[run.seed].loss for run in own if run.seed in plain]),
    }
    if own[0].usage:
        shares = [share for run in own for layer in run.usage for share in layer]
        routed = [run for run in own if run.routed is not None and run.average is not None]
        row |= {
            "usage": [min(shares), max(shares)],
            "in_band": sum(all(BAND[0] <= s <= BAND[1] for layer in run.usage for s in layer) for run in own),
            "worst": [min(run.worst[0] for run in own), max(run.worst[1] for run in own)],
            "gate_entropy": spread([fmean(run.gate_entropy) for run in own]),
            "information": spread([run.information or 0.0 for run in own]),
            "permuted_p99": [run.permuted_p99 for run in own],
            "above_p99": sum((run.information or 0.0) > (run.permuted_p99 or 0.0) for run in own),
            "average_gap": spread([(run.average or 0.0) - (run.routed or 0.0) for run in routed]),
        }
    return row


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The table."""
    yield f"{'task':<9}{'variant':<9}{'rank':>5}{'trainable':>11}{'loss':>9}{'+-':>8}{'- plain':>10}{'+-':>8}  domains"
    for row in rows:
        domains = "  ".join(f"{name[:7]} {each['mean']:.3f}" for name, each in row["domains"].items())
        loss, less = row["loss"], row["less_plain"]
        size = f"{row['rank']:>5}{row['trainable']:>11,}"
        losses = _cell(loss["mean"], ".4f", 9) + _cell(loss["half"], ".4f", 8)
        losses += _cell(less["mean"], "+.4f", 10) + _cell(less["half"], ".4f", 8)
        yield f"{row['task']:<9}{row['variant']:<9}{size}{losses}  {domains}"
    yield ""
    yield f"{'':<18}{'usage':>14}{'in band':>9}{'ever':>14}{'gate H':>8}{'MI':>9}{'above 99%':>11}{'average -':>11}"
    for row in rows:
        if "usage" in row:
            usage, worst = (f"{low:.1%}-{high:.1%}" for low, high in (row["usage"], row["worst"]))
            seeds = len(row["seeds"])
            told = f"{row['gate_entropy']['mean']:>8.3f}{row['information']['mean']:>9.5f}"
            found = f"{told}{row['above_p99']:>9}/{seeds}{row['average_gap']['mean']:>+11.4f}"
            yield f"{row['task']:<9}{row['variant']:<9}{usage:>14}{row['in_band']:>7}/{seeds}{worst:>14}{found}"


def wanted(seeds: tuple[int, ...]) -> Iterator[tuple[str, str, int]]:
    """Every run, the quick task first, and of the other the product's form against plain LoRA, seed by seed."""
    for task, variants in (("planted", tuple(VARIANTS)), ("demo", ("plain", "shared")), ("demo", ("private",))):
        for seed in seeds:
            for variant in variants:
                yield task, variant, seed


def main() -> None:
    """Run what lacks for as long as there is time, then print and write what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after so many minutes")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, required=True, help="JSON; runs that it holds are not run again")
    options = parser.parse_args()
    known: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    runs = [Run(**each) for each in known.get("runs", [])]
    about = known.get("machine") or machine()
    variants = {task: specs(task) for task in TASKS}
    torch.set_num_threads(1)
    late = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as place:
        for task, variant, seed in wanted(tuple(options.seeds)):
            if any((run.task, run.variant, run.seed) == (task, variant, seed) for run in runs):
                continue
            if time.monotonic() > late:
                break
            runs.append(run_one(task, variant, seed, variants[task][variant], Path(place)))
            _write(options.out, {**known, "machine": about, "summary": summary(runs)}, runs)
            print(f"{task} {variant} {seed}: {runs[-1].loss:.4f} in {runs[-1].cpu_s:.0f} CPU seconds", flush=True)
    print("\n".join(lines(summary(runs))))


def _write(path: Path, known: dict[str, Any], runs: list[Run]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps({**known, "runs": [asdict(run) for run in runs]}, indent=1) + "\n")
    fresh.replace(path)


if __name__ == "__main__":
    main()
