"""System calls of a running engine, step by step: a count that does not depend on how busy the machine is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\(")
STEP = r"\"kind\":\"step.completed\""
SHOWN_BYTES = 200
"""Of a write: its head names the record's kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What strace saw between the first and the last step record of its watch."""

    steps: int
    training_thread: dict[str, float]
    """Call -> median count per step, in the thread that trains."""
    written_bytes: float
    """Median bytes per step written by that thread."""
    other_threads: int
    """Calls of all other threads, which run by the clock and not by the step."""


def traced(pid: int, work: Callable[[], None], log: Path) -> Calls | None:
    """Watch `pid` while `work` lasts; None where there is no strace, or no right to use it."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    command = [strace, "-f", "-qq", "-s", str(SHOWN_BYTES), "-o", str(log), "-p", str(pid)]
    watcher = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        work()
    finally:
        watcher.terminate()
        watcher.wait()
    return counted(log.read_text(errors="replace").splitlines(), pid) if log.exists() else None


def counted(lines: list[str], training: int) -> Calls | None:
    """Fold strace's lines; `training` is the id of the thread that trains, the process's first."""
    steps: list[tuple[Counter[str], int]] = []
    here: Counter[str] | None = None
    written, others = 0, 0
    for line in lines:
        call = CALL.match(line)
        if call is None:
            continue
        if int(call[1]) != training:
            others += here is not None
            continue
        if here is not None:
            here[call[2]] += 1
            written += _written(line, call[2])
        if STEP in line:
            if here is not None:
                steps.append((here, written))
            here, written = Counter(), 0
    if not steps:
        return None
    names = sorted({name for count, _ in steps for name in count})
    return Calls(
        steps=len(steps),
        training_thread={name: value for name in names if (value := median(count[name] for count, _ in steps))},
        written_bytes=median(size for _, size in steps),
        other_threads=others,
    )


def _written(line: str, name: str) -> int:
    done = re.search(r"\) = (\d+)$", line)
    return int(done[1]) if name in {"write", "sendto"} and done else 0
