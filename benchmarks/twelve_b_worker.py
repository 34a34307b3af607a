"""One variant of `twelve_b.py`: `python twelve_b_worker.py VARIANT SETTINGS`, both JSON; the last line answers."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from bare_trainer import bare_trainer
from shape_12b import TINY, WAYFARER, Shape, conversations, peak, random_model

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.adapters import attach
from engine.model.forward import forward_loss, valid_tokens
from engine.model.prototypes import normal_routers
from engine.model.recompute import enable_recompute
from engine.model.spec import AdapterSpec
from engine.training.step import take_step
from engine.training.trainer import Trainer

PER_STEP = 32
SPLIT_STEPS = 3


def trainer_of(variant: dict[str, Any], shape: Shape, device: torch.device) -> Trainer:
    """The model on its device, its adapters, and the job's conversations."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    mode = "moe" if variant["experts"] else "lora"
    adapted = attach(random_model(shape, device, dtype), AdapterSpec(mode=mode, num_experts=max(2, variant["experts"])))
    normal_routers(adapted)
    if variant["recompute"]:
        enable_recompute(adapted)
    longest = min(shape.longest, variant["bin_tokens"])
    return bare_trainer(
        adapted, conversations(shape, 256), per_step=PER_STEP, bin_tokens=max(longest, variant["bin_tokens"]), rate=1e-4
    )


class Mark:
    """A moment of the device's own time, taken without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._at: Any = torch.cuda.Event(enable_timing=True) if self._cuda else time.perf_counter()
        if self._cuda:
            self._at.record()

    def until(self, later: Mark) -> float:
        """Seconds; the device must have come past both."""
        return self._at.elapsed_time(later._at) / 1e3 if self._cuda else later._at - self._at


class Clock:
    """Seconds of the device by the name of what it did."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[str, Mark, Mark]] = []

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Everything inside counts as `name`."""
        begun = Mark(self._device)
        yield
        self._spans.append((name, begun, Mark(self._device)))

    def seconds(self) -> dict[str, float]:
        """Sums."""
        wait(self._device)
        found: dict[str, float] = {}
        for name, begun, ended in self._spans:
            found[name] = found.get(name, 0.0) + begun.until(ended)
        return found


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def split(trainer: Trainer, step_s: float) -> dict[str, float]:
    """Shares of forward, backward and optimizer in a step, taken apart; `other` is the rest of a whole one."""
    clock = Clock(trainer.device)
    for number in range(SPLIT_STEPS):
        examples = trainer.steps.at(number)
        bins = make_bins(examples, trainer.bin_tokens)
        trainer.adapted.routing.begin_step(sum(map(valid_tokens, bins)), ramp=1.0)
        for packed in bins:
            with clock.span("forward"):
                loss = forward_loss(trainer.adapted, packed, scale=1.0 / sum(each.targets for each in bins))
            with clock.span("backward"):
                torch.autograd.backward(loss)
        with clock.span("optimizer"):
            torch.nn.utils.clip_grad_norm_(trainer.parameters, trainer.max_grad_norm)
            trainer.optimizer.step()
        trainer.adapted.routing.end_step()
        trainer.optimizer.zero_grad(set_to_none=True)
    parts = {name: seconds / SPLIT_STEPS / step_s for name, seconds in clock.seconds().items()}
    return {**parts, "other": max(0.0, 1.0 - sum(parts.values()))}


def syncs(device: torch.device, work: Callable[[], object]) -> int | None:
    """How often `work` made the host wait for the device; None without one."""
    if device.type != "cuda":
        work()
        return None
    torch.cuda.synchronize(device)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # Not the notice that the mode itself is a prototype.
    return sum("called a synchronizing" in str(one.message) for one in seen)


def measure(variant: dict[str, Any], settings: dict[str, Any], shape: Shape, device: torch.device) -> dict[str, Any]:
    """Warm up, time whole steps, then take one apart."""
    trainer = trainer_of(variant, shape, device)
    layers = trainer.adapted.compute.on_reference() if variant["reference"] else contextlib.nullcontext()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    with layers:
        begun = time.perf_counter()
        for number in range(settings["warm"]):
            take_step(trainer, trainer.ahead.bins(number, trainer.bin_tokens), rate=1e-4, ramp=1.0)
        wait(device)
        warm_s = time.perf_counter() - begun
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        marks, done = [Mark(device)], []
        for number in range(settings["warm"], settings["warm"] + settings["steps"]):
            take_step(trainer, trainer.ahead.bins(number, trainer.bin_tokens), rate=1e-4, ramp=1.0)
            marks.append(Mark(device))
            done += trainer.steps.at(number)
        wait(device)
        each = [before.until(after) for before, after in pairwise(marks)]
        memory = (
            (torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device))
            if device.type == "cuda"
            else (None, None)
        )
        waits = syncs(
            device, lambda: take_step(trainer, trainer.ahead.bins(0, trainer.bin_tokens), rate=1e-4, ramp=1.0)
        )
        parts = split(trainer, sum(each) / len(each))
    return {"device": name, "warm_s": warm_s, **told(trainer, shape, name, done, each), **rest(memory, waits, parts)}


def told(trainer: Trainer, shape: Shape, name: str, done: Sequence[Example], each: list[float]) -> dict[str, Any]:
    """Speed, and what it is of the data sheet's."""
    trained = sum(parameter.numel() for parameter in trainer.parameters)
    tokens, flops = sum(one.tokens for one in done), shape.flops(done, trained)
    best = peak(name, "bfloat16")
    ordered = sorted(each)
    return {
        "steps": len(each),
        "tokens": tokens,
        "tokens_per_s": tokens / sum(each),
        "step_s": median(each),
        "step_s_p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "trained_parameters": trained,
        "flops_per_token": flops / tokens,
        "flops_per_s": flops / sum(each),
        "mfu": None if best is None else flops / sum(each) / best,
    }


def rest(memory: tuple[int | None, int | None], waits: int | None, parts: dict[str, float]) -> dict[str, Any]:
    """Memory, waiting and the parts of a step by the names of the table."""
    return {"peak_bytes": memory[0], "reserved_bytes": memory[1], "syncs_per_step": waits, "split": parts}


def main(variant: dict[str, Any], settings: dict[str, Any]) -> None:
    """Measure, and answer with one line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tiny = settings["tiny"] or not torch.cuda.is_available()
    device = torch.device("cpu") if tiny else torch.device("cuda", 0)
    shape = TINY if tiny else WAYFARER
    if tiny:
        torch.set_num_threads(1)
        variant = {**variant, "bin_tokens": max(TINY.longest, variant["bin_tokens"] // 32)}
    if settings["layers"]:
        shape = replace(shape, layers=settings["layers"])
    answers.write(json.dumps(answer(variant, settings, shape, device)) + "\n")
    answers.flush()


def answer(variant: dict[str, Any], settings: dict[str, Any], shape: Shape, device: torch.device) -> dict[str, Any]:
    """What was measured, or that memory did not suffice."""
    try:
        return measure(variant, settings, shape, device)
    except torch.OutOfMemoryError as error:
        where = "a CPU"
        if device.type == "cuda":
            where = f"{torch.cuda.get_device_properties(device).total_memory / 1e9:.0f} GB"
        return {"failed": f"out of memory on {where}: {str(error).partition('.')[0]}"}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
