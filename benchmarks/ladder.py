"""What each lever of the fast path is worth on a CPU: every one taken away in turn, in interleaved rounds.

    python benchmarks/ladder.py --rounds 9 --out benchmarks/results/ladder-cpu.json

One process an arm, forked from one that has the model, and one at a time at work. A round is one forward and backward
over all bins of a case on each arm, in an order drawn anew; the figure is the processor time of an arm over that of the
full path in the same round. The control is the full path once more: what this machine makes of no difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from intervals import interval
from layer import CASES, one_pass
from levers import ARMS, Arm
from machine import machine

from engine.data.batches import Bin
from engine.model.adapters import Adapted
from engine.model.forward import valid_tokens
from engine.model.prototypes import normal_routers

WARM = 2
WORK, STOP = b"w", b"s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One arm of one case."""

    case: str
    arm: str
    what: str
    tried: bool
    tokens_per_s: float
    """Of processor time, median over rounds."""
    cost: float
    """Processor time over the full path's; median, and 95% interval."""
    cost_low: float
    cost_high: float
    first_s: float
    """Wall seconds of the first pass, which is where compiling and laying out happen."""
    rounds_s: list[float]


class Worker:
    """A process that does a pass when it is told to."""

    def __init__(self, arm: Arm, adapted: Adapted, bins: list[Bin]) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._orders)
            try:
                arm.put()
                while os.read(orders, 1) == WORK:
                    began, wall = time.process_time(), time.perf_counter()
                    one_pass(adapted, bins, reference=arm.reference)
                    took = f"{time.process_time() - began} {time.perf_counter() - wall}\n"
                    os.write(answers, took.encode())
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)

    def work(self) -> tuple[float, float]:
        """Processor and wall seconds of one pass."""
        os.write(self._orders, WORK)
        answer = os.read(self._answers, 256)
        if not answer:
            raise RuntimeError("a worker died")
        cpu, wall = answer.split()
        return float(cpu), float(wall)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Workers forked later hold this pipe as well, so closing it alone would end nothing.
        os.write(self._orders, STOP)
        os.close(self._orders)
        os.close(self._answers)
        os.waitpid(self.pid, 0)


def measure(case: str, arms: list[Arm], rounds: int) -> list[Rung]:
    """All arms of one case."""
    adapted, bins = CASES[case]()
    normal_routers(adapted)
    tokens = sum(valid_tokens(one) for one in bins)
    chance = random.Random(0)
    took: dict[str, list[float]] = {arm.name: [] for arm in arms}
    workers: dict[str, Worker] = {}
    try:
        for arm in arms:
            workers[arm.name] = Worker(arm, adapted, bins)
        first = {name: worker.work()[1] for name, worker in workers.items()}
        for _ in range(WARM - 1):
            for worker in workers.values():
                worker.work()
        for _ in range(rounds):
            for name in chance.sample(list(workers), k=len(workers)):
                took[name].append(workers[name].work()[0])
    finally:
        for worker in workers.values():
            worker.__exit__()
    rungs = []
    for arm in arms:
        cost = interval([mine / full for mine, full in zip(took[arm.name], took["full"], strict=True)])
        rungs.append(
            Rung(
                case=case,
                arm=arm.name,
                what=arm.what,
                tried=arm.tried,
                tokens_per_s=tokens / median(took[arm.name]),
                cost=cost.median,
                cost_low=cost.low,
                cost_high=cost.high,
                first_s=first[arm.name],
                rounds_s=took[arm.name],
            )
        )
    return rungs


def main() -> None:
    """Measure the chosen cases, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES)[::2])
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS], help="beside `full`; all by default")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    arms = [arm for arm in ARMS if chosen.arms is None or arm.name in ("full", *chosen.arms)]
    rungs: list[Rung] = []
    before = machine()
    for case in chosen.cases:
        print(f"{case}\n{'arm':<11}{'tokens/s':>9}{'cost':>7}  {'95% interval':<15}{'first, s':>8}  what")
        found = measure(case, arms, chosen.rounds)
        for rung in found:
            span = f"{rung.cost_low:.3f} to {rung.cost_high:.3f}"
            numbers = f"{rung.tokens_per_s:>9,.0f}{rung.cost:>7.3f}  {span:<15}{rung.first_s:>8.1f}"
            print(f"{rung.arm:<11}{numbers}  {rung.what}", flush=True)
        rungs += found
        if chosen.out is not None:
            written: dict[str, Any] = {
                "command": "python benchmarks/ladder.py",
                "machine": before,
                "load_after": machine()["load"],
                "rounds": chosen.rounds,
                "rungs": [asdict(rung) for rung in rungs],
            }
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            chosen.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
