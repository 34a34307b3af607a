"""Does a quoted duration come true? Runs to the end, one after the other, each compared with what it had announced.

    python benchmarks/plan.py --runs 10 --out benchmarks/results/plan-cpu.json
    python benchmarks/plan.py --runs 10 --dataset DATA.json --out FILE

Each run announces twice: in Setup, from an earlier run on this machine or an assumption, and in Init, from real steps.
The ratio is announced over actual seconds, both from the start of the engine to its stop. The memory of earlier runs is
a folder of this benchmark's own, so that the first run assumes and the others remember. Early stopping is off: when a
model stops improving is no matter of time. Wants an idle machine: what else it does meanwhile, no plan can know.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine

ROOT = Path(__file__).parent.parent
NO_EARLY_STOP = "safety.enable_early_stopping=false"
LIMIT = 0.15
WANTED = 0.9
"""Share of the runs whose ratio must be within `LIMIT` of 1."""


def one_run(number: int, home: Path, options: list[str]) -> dict[str, Any]:
    """Train to the end in a process of its own and read its journal."""
    run = home / f"run-{number}"
    command = [sys.executable, str(ROOT / "run.py"), "--no-tui", "--output-dir", str(run), *options]
    environment = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "WANDB_MODE": "disabled"}
    load, began = os.getloadavg()[0], time.monotonic()
    with (home / f"run-{number}.out").open("wb") as out:
        code = subprocess.run(command, cwd=home, env=environment, stdout=out, stderr=out, check=False).returncode
    process_s = time.monotonic() - began
    if code:
        sys.exit(f"run {number} ended with exit code {code}:\n{(home / f'run-{number}.out').read_text()[-2000:]}")
    return {"run": number, "process_s": process_s, "load_before": load, **compared(run / "events.jsonl")}


def compared(journal: Path) -> dict[str, Any]:
    """What a finished run announced, and what it took."""
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    stopped = records[-1]["data"]
    plans = [record["data"] for record in records if record["kind"] == "run.planned"]
    actual = stopped["wall_s"]
    announced = [
        {
            "source": plan["source"],
            "planned_s": sum(plan["estimated_s"].values()),
            "ratio": sum(plan["estimated_s"].values()) / actual,
            "parts_s": plan["estimated_s"],
        }
        for plan in plans
    ]
    return {
        "actual_s": actual,
        "reason": stopped["reason"],
        "steps": stopped["step"],
        "planned_steps": plans[-1]["planned_steps"],
        "setup": announced[0],
        "init": announced[-1],
    }


def verdict(runs: list[dict[str, Any]], which: str) -> dict[str, Any]:
    """How many of the ratios are within the limit."""
    ratios = [run[which]["ratio"] for run in runs]
    within = sum(abs(ratio - 1.0) <= LIMIT for ratio in ratios)
    return {
        "ratios": ratios,
        "median": statistics.median(ratios),
        "within": within,
        "of": len(ratios),
        "met": within >= WANTED * len(ratios),
    }


def main() -> None:
    """Run, print a line a run and the verdicts, write the raw numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--dataset", type=Path, help="conversations instead of the demo's own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed on; repeatable")
    parser.add_argument("--out", type=Path, help="JSON file for the raw numbers")
    given = parser.parse_args()
    options = [] if given.dataset is None else ["--dataset", str(given.dataset.absolute())]
    options += [word for change in (NO_EARLY_STOP, *given.set) for word in ("--set", change)]
    subject = "the demo" if given.dataset is None else given.dataset.name
    before = machine()
    print(f"{given.runs} runs of {subject} to the end, announced / actual seconds", flush=True)
    runs = []
    with tempfile.TemporaryDirectory(prefix="stint-plan-") as home:
        for number in range(1, given.runs + 1):
            run = one_run(number, Path(home), options)
            runs.append(run)
            told = "  ".join(
                f"{which} {run[which]['planned_s']:6.1f} s ({run[which]['source']}) {run[which]['ratio']:.3f}"
                for which in ("setup", "init")
            )
            ended = "" if run["reason"] == "target" else f"  ended: {run['reason']} at step {run['steps']}"
            print(
                f"{number:3}  actual {run['actual_s']:6.1f} s  {told}  load {run['load_before']:.1f}{ended}", flush=True
            )
    verdicts = {which: verdict(runs, which) for which in ("setup", "init")}
    for which, found in verdicts.items():
        ratios = " ".join(f"{ratio:.3f}" for ratio in found["ratios"])
        met = "met" if found["met"] else "not met"
        print(f"{which}: {ratios}; {found['within']} of {found['of']} within {LIMIT:.0%}: {met}")
    if given.out is not None:
        body = {"subject": subject, "options": given.set, "machine": before, "runs": runs, "verdicts": verdicts}
        given.out.write_text(json.dumps(body, indent=1) + "\n")


if __name__ == "__main__":
    main()
