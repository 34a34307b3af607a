"""Stint against its peers on a CPU: useful tokens per processor-second, one thread, float32, the same work for all.

    python benchmarks/peers.py --rounds 10 --out benchmarks/results/peers-cpu.json
    python benchmarks/peers.py --memory --out benchmarks/results/peers-cpu.json --append

Every contender is a process of its own with the same weights, the same adapters (rank 16 on all seven projections, the
same start), the same conversations and as many optimizer steps of the same AdamW. In each round every contender makes
one pass over all conversations, in an order drawn anew; the others wait meanwhile. The first pass warms up and is
where the work is compared: tokens, targets and losses. Each ratio is taken inside a round, so that the weather of a
shared machine falls on both sides; `stint-again / stint` shows what is left of it. `--memory` counts, in a command of
its own, what a pass keeps and allocates. `--append` adds to an earlier command, so that each may be short.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from statistics import median
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from intervals import interval
from machine import machine
from peer_work import CASES, Work, make

HERE = Path(__file__).resolve().parent
CONTENDERS = (
    "hf-padded",
    "hf-grouped",
    "hf-flattened",
    "hf-each",
    "trl-packed",
    "trl-packed-best",
    "bare-padded",
    "bare-each",
    "stint-reference",
    "stint-plain",
    "stint",
    "stint-again",
    "stint-experts",
)
SAME_BATCHES = (
    "hf-padded",
    "hf-flattened",
    "hf-each",
    "bare-padded",
    "bare-each",
    "stint-reference",
    "stint-plain",
    "stint",
)
"""The same conversations in each step: their losses must be the same, step by step. Grouping and TRL's packing choose
for themselves which conversations meet in a step, so only what a whole pass comes to can be compared."""
START_S = 240.0
DEFAULTS = {"conversations": 16, "per_step": 8, "micro": 4, "rate": 1e-4, "cap": 2048}


@dataclass(kw_only=True)
class Contender:
    """A process that waits for its turn."""

    name: str
    process: subprocess.Popen[str]
    trained: int = 0

    @classmethod
    def start(cls, name: str, folder: Path) -> Self:
        """Start it; `await_ready` says when it has its model."""
        command = [sys.executable, str(HERE / "peer_worker.py"), str(folder), name]
        log = (folder / f"{name}.log").open("w")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        return cls(name=name, process=process)

    def await_ready(self) -> None:
        """Return when its first pass may begin."""
        self.trained = self._answer()["trained"]

    def turn(self, order: str) -> dict[str, Any]:
        """One pass."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        """No more orders; killed if it does not go."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def compete(
    folder: Path, names: Sequence[str], rounds: int, until: float, *, seed: int = 0, memory: bool = False
) -> Iterator[tuple[dict[str, Any], list[dict[str, float]]]]:
    """What each contender's first pass was, and the rates of every round so far, after each; by `until` it is over."""
    contenders: list[Contender] = []
    rates: list[dict[str, float]] = []
    try:
        contenders = [Contender.start(name, folder) for name in names]
        for one in contenders:
            one.await_ready()
        order = "measure" if memory else "run"
        first = {one.name: {**one.turn(order), "trained": one.trained} for one in contenders}
        yield first, rates
        chance, longest = random.Random(seed), 0.0
        while len(rates) < rounds and (begun := time.monotonic()) + longest < until:
            found = {}
            for one in chance.sample(contenders, k=len(contenders)):
                done = one.turn("run")
                found[one.name] = done["useful"] / done["cpu_s"]
            rates.append(found)
            longest = max(longest, time.monotonic() - begun)
            print(f"round {len(rates)}: " + "  ".join(f"{name} {found[name]:,.0f}" for name in names), flush=True)
            yield first, rates
    except (RuntimeError, json.JSONDecodeError) as error:
        tails = "\n".join(f"{name}: {(folder / f'{name}.log').read_text()[-2000:]}" for name in names)
        raise SystemExit(f"{error}\n{tails}") from error
    finally:
        for one in contenders:
            one.stop()


def difference(first: dict[str, dict[str, Any]], name: str, against: str) -> float:
    """The largest relative difference of a loss: of each step where batches are the same, of the pass elsewhere."""
    mine, theirs = first[name]["losses"], first[against]["losses"]
    if name in SAME_BATCHES or name == "stint-again":
        pairs = list(zip(mine, theirs, strict=True))
    else:
        pairs = [(mean_loss(first[name]), mean_loss(first[against]))]
    return max(abs(a - b) / abs(b) for a, b in pairs)


def mean_loss(done: dict[str, Any]) -> float:
    """Over all targets of a pass."""
    return sum(map(mul, done["losses"], done["targets"])) / sum(done["targets"])


def unequal(first: dict[str, dict[str, Any]], work: Work) -> list[str]:
    """Contenders that did other work than the rest, and how."""
    wrong = []
    for name, done in first.items():
        if done["useful"] != work.tokens:
            wrong.append(f"{name}: {done['useful']} tokens, not {work.tokens}")
        if sum(done["targets"]) != work.targets:
            wrong.append(f"{name}: {sum(done['targets'])} targets, not {work.targets}")
        if len(done["losses"]) != work.num_steps:
            wrong.append(f"{name}: {len(done['losses'])} optimizer steps, not {work.num_steps}")
    return wrong


def table(case: dict[str, Any]) -> list[str]:
    """The case as lines to print."""
    first, rounds = case["first"], case["rounds"]
    stints = [name for name in ("stint", "stint-experts") if name in first]
    lines = [
        f"{case['case']}: {case['tokens']:,} tokens a pass, {case['conversations']} conversations, "
        f"{case['steps']} optimizer steps, {len(rounds)} rounds",
        f"{'contender':<17}{'tok/CPU-s':>10}{'useful':>8}{'kept KiB/tok':>14}{'peak MiB':>10}{'loss diff':>11}"
        + "".join(f"{name + ' is':>24}" for name in stints),
    ]
    against = "bare-padded" if "bare-padded" in first else next(iter(first))
    for name, done in first.items():
        # Checkpointing hides what it keeps.
        hidden = name == "trl-packed" or "kept_bytes" not in done
        kept = "-" if hidden else f"{done['kept_bytes'] / done['useful'] / 1024:.1f}"
        peak = f"{done['peak_bytes'] / 2**20:,.0f}" if "peak_bytes" in done else "-"
        rate = median([each[name] for each in rounds if name in each] or [0.0])
        line = (
            f"{name:<17}{rate:>10,.0f}{done['useful'] / done['computed']:>8.1%}"
            f"{kept:>14}{peak:>10}{difference(first, name, against):>11.1e}"
        )
        for stint in stints:
            both = paired(rounds, stint, name)
            found = interval(both) if both else None
            line += f"{found.median:>10.2f}x [{found.low:.2f}, {found.high:.2f}]" if found else f"{'-':>24}"
        lines.append(line)
    return lines


def paired(rounds: list[dict[str, float]], over: str, under: str) -> list[float]:
    """Ratios within the rounds that both took part in."""
    return [each[over] / each[under] for each in rounds if over in each and under in each]


def ratios(rounds: list[dict[str, float]]) -> dict[str, dict[str, list[float]]]:
    """Of both forms of Stint over every contender: median, low and high end of the interval."""
    found: dict[str, dict[str, list[float]]] = {}
    names = list(dict.fromkeys(name for each in rounds for name in each))
    for stint in ("stint", "stint-again", "stint-experts"):
        spans = {name: interval(both) for name in names if name != stint and (both := paired(rounds, stint, name))}
        if spans:
            found[stint] = {name: [span.median, span.low, span.high] for name, span in spans.items()}
    return found


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--case", choices=CASES, default="hidden-128")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="count memory in the first pass, and run no rounds")
    parser.add_argument("--minutes", type=float, default=8.0, help="no round begins after this long")
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--append", action="store_true", help="add rounds to those of this case in --out")
    return parser.parse_args()


def gathered(chosen: argparse.Namespace, work: Work, before: dict[str, Any], ran_on: dict[str, Any]) -> dict[str, Any]:
    """The case as it is told, without what is measured."""
    return {
        "case": chosen.case,
        **{name: getattr(chosen, name) for name in DEFAULTS},
        "bin_tokens": work.cap,
        "tokens": work.tokens,
        "targets": work.targets,
        "steps": work.num_steps,
        "runs": [*before["runs"], {"contenders": chosen.only, "memory": chosen.memory, "machine": ran_on}],
    }


def added(
    case: dict[str, Any], before: dict[str, Any], work: Work, first: dict[str, Any], new: list[dict[str, float]]
) -> dict[str, Any]:
    """The case with what an earlier command and this one measured."""
    known = before.get("first", {})
    known = {**known, **{name: {**known.get(name, {}), **done} for name, done in first.items()}}
    rounds = before["rounds"] + new
    names = dict.fromkeys(name for each in rounds for name in each)
    runs = [*case["runs"][:-1], {**case["runs"][-1], "rounds": len(new)}]
    return {
        **case,
        "runs": runs,
        "unequal": unequal(known, work),
        "first": {name: known[name] for name in CONTENDERS if name in known},
        "medians": {name: median(each[name] for each in rounds if name in each) for name in names},
        "ratios": ratios(rounds),
        "rounds": rounds,
    }


def main() -> None:
    """Compete, compare the work, print the table, write the numbers after every round."""
    chosen = options()
    until = time.monotonic() + 60 * chosen.minutes
    report: dict[str, Any] = {"command": "python benchmarks/peers.py", "cases": {}}
    if chosen.out is not None and chosen.out.exists():
        report = json.loads(chosen.out.read_text())
    before: dict[str, Any] = {"rounds": [], "runs": []}
    if chosen.append:
        before = report["cases"].get(chosen.case, before)
    case: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        work = make(Path(place), chosen.case, **{name: getattr(chosen, name) for name in DEFAULTS})
        empty = gathered(chosen, work, before, machine())
        rounds = 0 if chosen.memory else chosen.rounds
        for first, new in compete(
            Path(place), chosen.only, rounds, until, seed=len(before["rounds"]), memory=chosen.memory
        ):
            case = added(empty, before, work, first, new)
            if chosen.out is not None:
                report["cases"][chosen.case] = case
                chosen.out.parent.mkdir(parents=True, exist_ok=True)
                chosen.out.write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(table(case)))
    if case["unequal"]:
        raise SystemExit("\n".join(f"NOT EQUAL WORK: {line}" for line in case["unequal"]))


if __name__ == "__main__":
    main()
