"""Run by tests as a process of its own: an engine that kills itself, without warning, at a chosen point.

Usage: python engine_process.py LAUNCH_JSON WHERE, where WHERE is `step:N` or `save:N:K` (K-th file operation
inside the save of step N). SIGKILL leaves no chance to clean up, like a machine that is taken away.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.checkpoint import files
from engine.training.launch import Launch
from engine.training.main import run_engine


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int) -> None:
    import engine.training.memory as loop

    original = loop.take_step

    def take_step(trainer, examples, **rest):  # type: ignore[no-untyped-def]
        done = original(trainer, examples, **rest)
        if trainer.optimizer.state and max(int(s["step"]) for s in trainer.optimizer.state.values()) == number:
            die()
        return done

    loop.take_step = take_step


def in_save(step: int, operation: int) -> None:
    count = 0
    of_this_step = re.compile(rf"-{step}\b")  # whatever the chance letters of a staging folder begin with

    def counted(name: str) -> None:
        original = getattr(files.Files, name)

        def method(self, *args, **rest):  # type: ignore[no-untyped-def]
            nonlocal count
            if any(of_this_step.search(str(arg)) for arg in args):
                count += 1
                if count == operation:
                    die()
            return original(self, *args, **rest)

        setattr(files.Files, name, method)

    for name in ("write", "produce", "sync_file", "rename", "sync_dir"):
        counted(name)


if __name__ == "__main__":
    kind, *numbers = sys.argv[2].split(":")
    {"step": at_step, "save": in_save}[kind](*map(int, numbers))
    sys.exit(run_engine(Launch.read(Path(sys.argv[1]))))
