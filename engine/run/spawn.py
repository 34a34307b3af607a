"""Starts an engine that outlives the terminal it was started from.

The child gets a session of its own (a hang-up of the terminal reaches only the old one) and no terminal to write to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.run.rundir import RunDir

PROGRAM = Path(__file__).resolve().parents[2] / "run.py"
"""run.py lies beside the packages, in a checkout as in site-packages."""


def engine_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment an engine process wants, on top of `base` (default: this process's); what is set there wins.

    GNU OpenMP threads spin while they wait: beside one busy core, training collapses tenfold unless they sleep. Bins
    differ in length from step to step: segments of fixed size would leave holes on a card that nothing fits into.
    """
    environment = dict(os.environ if base is None else base)
    environment.setdefault("GOMP_SPINCOUNT", "10000")
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment.setdefault("PYTHONUNBUFFERED", "1")
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & environment.keys():
        environment["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    return environment


def spawn(arguments: Sequence[str], rundir: RunDir, *, program: Sequence[str] | None = None) -> subprocess.Popen[bytes]:
    """Start `run.py <arguments>` detached, its output appended to engine.out of `rundir` (which must exist)."""
    command = [*(program or (sys.executable, str(PROGRAM))), *arguments]
    descriptor = os.open(rundir.engine_out, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as output:
        return subprocess.Popen(  # noqa: S603  (our own interpreter and program, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=engine_environment(),
        )
