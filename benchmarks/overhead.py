"""What a viewer costs the engine: processor time per step with one attached and without, in interleaved rounds.

    python benchmarks/overhead.py --out benchmarks/results/overhead-cpu.json

One engine trains throughout. In each cycle it is measured over three rounds of the same steps, in an order drawn anew:
two without a viewer and one with `run.py attach` in a terminal. The two rounds without are the control: their ratio
shows what this machine makes of no difference at all. System calls, bytes and threads are exact, and counted as well.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from intervals import Interval, interval
from machine import machine
from proc import usage
from subject import Engine, Viewer
from syscalls import Calls, traced

ARMS = ("without", "control", "viewer")
"""`without` and `control` are the same thing; only `viewer` differs."""
TRACED_EPOCHS = 6
SETTLE_S = 1.0
"""After a viewer has come or gone."""
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One measured stretch of steps."""

    cycle: int
    arm: str
    steps: int
    wall_s: float
    cpu_ms: float
    """Engine processor time per step; the rest is per step too."""
    write_calls: float
    written_bytes: float
    disk_bytes: float
    threads: int
    load: float
    viewer_cpu: float | None
    """Processors the viewer itself used."""


def measure(engine: Engine, cycle: int, arm: str, steps: int, epoch: int) -> Round:
    """Attach or not, settle, wait for an epoch to begin, and watch the engine for `steps`."""
    viewer = Viewer(engine.rundir.path) if arm == "viewer" else None
    if viewer is not None:
        viewer.wait_until_live()
    time.sleep(SETTLE_S)
    engine.reach(engine.steps + 1)
    start = -(-(engine.steps + 1) // epoch) * epoch
    engine.reach(start)
    before, began = usage(engine.pid), time.monotonic()
    watched = usage(viewer.pid).cpu_s if viewer else 0.0
    engine.reach(start + steps)
    after, wall_s = usage(engine.pid), time.monotonic() - began
    viewer_cpu = (usage(viewer.pid).cpu_s - watched) / wall_s if viewer else None
    if viewer is not None:
        viewer.leave()
    return Round(
        cycle=cycle,
        arm=arm,
        steps=steps,
        wall_s=wall_s,
        cpu_ms=1000 * (after.cpu_s - before.cpu_s) / steps,
        write_calls=(after.write_calls - before.write_calls) / steps,
        written_bytes=(after.written_bytes - before.written_bytes) / steps,
        disk_bytes=(after.disk_bytes - before.disk_bytes) / steps,
        threads=after.threads,
        load=machine()["load"][0],
        viewer_cpu=viewer_cpu,
    )


def trace(engine: Engine, steps: int, place: Path, *, watched: bool) -> Calls | None:
    """System calls of a stretch of steps, with or without a viewer."""
    viewer = Viewer(engine.rundir.path) if watched else None
    if viewer is not None:
        viewer.wait_until_live()
    time.sleep(SETTLE_S)
    engine.reach(engine.steps + 1)
    found = traced(engine.pid, lambda: engine.reach(engine.steps + steps), place / "strace.txt")
    if viewer is not None:
        viewer.leave()
    return found


def ratios(rounds: list[Round], arm: str) -> list[float]:
    """Processor time per step of `arm` over that of the round without a viewer in the same cycle."""
    cpu = {(each.cycle, each.arm): each.cpu_ms for each in rounds}
    return [cpu[cycle, arm] / cpu[cycle, "without"] for cycle, other in cpu if other == arm]


def table(rounds: list[Round], control: Interval, viewer: Interval, calls: dict[str, Calls | None]) -> list[str]:
    """The results in lines."""

    def of(arm: str, name: str) -> float:
        return float(median(getattr(each, name) for each in rounds if each.arm == arm))

    names = {
        "cpu_ms": "engine CPU, ms",
        "write_calls": "write calls",
        "written_bytes": "bytes written",
        "disk_bytes": "bytes to disk",
        "threads": "engine threads",
    }
    lines = [f"{'median per step':<20}" + "".join(f"{arm:>12}" for arm in ARMS)]
    lines += [f"{label:<20}" + "".join(f"{of(arm, name):>12.2f}" for arm in ARMS) for name, label in names.items()]
    for arm, seen in calls.items():
        if seen is not None:
            each = ", ".join(f"{count:g} {name}" for name, count in seen.training_thread.items())
            lines.append(f"strace, {arm:<12} training thread: {each}; {seen.written_bytes:g} bytes written")
    for label, found in (("control/without", control), ("viewer/without", viewer)):
        lines.append(f"{label:<20} {found.median:.4f}  95% [{found.low:.4f}, {found.high:.4f}]")
    own = median(each.viewer_cpu for each in rounds if each.viewer_cpu is not None)
    lines.append(f"the viewer itself    {100 * own:.1f}% of one processor")
    lines.append(f"the intervals {'overlap' if viewer.overlaps(control) else 'DO NOT OVERLAP'}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=36, help="cycles of three rounds")
    parser.add_argument("--epoch", type=int, default=16, help="conversations, one a step")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of one round")
    parser.add_argument("--out", type=Path, help="where the numbers go, as JSON")
    options = parser.parse_args()
    # Ended from outside, the engine must end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    steps = options.epoch * options.epochs
    chance = random.Random(SEED)
    before = machine()
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder), options.epoch) as engine:
        engine.reach(2 * options.epoch)
        for cycle in range(options.cycles):
            order = chance.sample(ARMS, k=len(ARMS))
            rounds += [measure(engine, cycle, arm, steps, options.epoch) for arm in order]
            line = "  ".join(f"{each.arm} {each.cpu_ms:.2f}" for each in rounds[-3:])
            print(f"cycle {cycle + 1:>2}: {line}  (CPU ms a step; load {rounds[-1].load:.1f})", flush=True)
        calls = {
            arm: trace(engine, TRACED_EPOCHS * options.epoch, Path(folder), watched=arm == "viewer")
            for arm in ("without", "viewer")
        }
    control, viewer = interval(ratios(rounds, "control")), interval(ratios(rounds, "viewer"))
    print("\n".join(table(rounds, control, viewer, calls)))
    if options.out is not None:
        report: dict[str, Any] = {
            "command": "python benchmarks/overhead.py",
            "options": {"cycles": options.cycles, "epoch": options.epoch, "epochs": options.epochs},
            "machine": before,
            "load_after": machine()["load"],
            "ratio_control": asdict(control),
            "ratio_viewer": asdict(viewer),
            "overlap": viewer.overlaps(control),
            "syscalls": {arm: None if found is None else asdict(found) for arm, found in calls.items()},
            "rounds": [asdict(each) for each in rounds],
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
