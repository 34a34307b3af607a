"""The clock that every contender of `peers.py` runs under: it waits for its turn, runs a pass, and tells what it took.

Contenders are separate processes and take turns, so that nothing of one is in another's figures and all of them see
the same weather. What is counted is the processor time of the whole process, all threads together.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from held import Held, allocated_peak


@dataclass(kw_only=True)
class Pass:
    """What a contender did in one pass, told by itself from what it fed."""

    useful: int = 0
    """Tokens of conversations."""
    computed: int = 0
    """Tokens that went through the model, padding included."""
    losses: list[Any] = field(default_factory=list)
    """By optimizer step, the mean over its targets: numbers or tensors of one."""
    targets: list[int] = field(default_factory=list)
    """By optimizer step."""
    _step: int | None = None

    def add(self, step: int, loss: Any, targets: int) -> None:
        """What a micro-batch adds to the mean loss of its step, and its targets."""
        if self._step != step:
            self._step = step
            self.losses.append(0.0)
            self.targets.append(0)
        self.losses[-1] = self.losses[-1] + loss
        self.targets[-1] += targets


class Gate:
    """Orders come in one a line: `run`, `measure`, or the end; answers go out as JSON, one a line."""

    def __init__(self, answers: TextIO, orders: TextIO) -> None:
        self._answers, self._orders = answers, orders
        self.number = 0
        self.done = Pass()
        self._held: Held | None = None
        self._profile: Any = None
        self._cpu = self._wall = 0.0

    @classmethod
    def of_process(cls) -> Gate:
        """On standard input and output; what libraries print goes to standard error from here on."""
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        return cls(answers, sys.stdin)

    def ready(self, parameters: list[torch.nn.Parameter]) -> None:
        """Tell that the first pass may begin; `parameters` are those that every pass has anyway."""
        self._weights = {each.untyped_storage().data_ptr() for each in parameters}
        self._tell({"ready": True, "trained": sum(each.numel() for each in parameters if each.requires_grad)})

    def begin(self) -> bool:
        """Wait for the next order; False where there is none."""
        order = self._orders.readline().strip()
        if order not in {"run", "measure"}:
            return False
        self.done = Pass()
        if order == "measure":
            self._held = Held(self._weights)
            self._held.__enter__()
            self._profile = torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
            )
            self._profile.__enter__()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return True

    def end(self) -> None:
        """The pass is over."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        done = self.done
        answer: dict[str, Any] = {
            "cpu_s": cpu,
            "wall_s": wall,
            "useful": done.useful,
            "computed": done.computed,
            "targets": done.targets,
            "losses": [float(loss) for loss in done.losses],
        }
        if self._held is not None:
            self._profile.__exit__(None, None, None)
            self._held.__exit__(None, None, None)
            answer["kept_bytes"] = self._held.kept
            answer["peak_bytes"] = allocated_peak(self._profile)
            self._held = self._profile = None
        self.number += 1
        self._tell(answer)

    def _tell(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()
