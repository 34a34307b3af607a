"""Runs told by hand: the records of an engine with made-up numbers, written as a journal in a directory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.report.facts import Story
from engine.report.gather import gather
from engine.run.rundir import RunDir
from states import events as e
from states.codec import encode
from states.phases import Cause, Outcome, Phase, Reason, Trigger

START = 1_763_800_000.0
CONFIG: dict[str, Any] = {
    "training": {
        "base_model": "owner/base",
        "learning_rate": 0.001,
        "router_learning_rate": 0.0002,
        "num_train_epochs": 2,
        "warmup_steps": 4,
        "eval_steps": 10,
        "bin_tokens": 512,
        "max_length": 512,
        "max_training_hours": 1.0,
        "save_total_limit": 5,
        "weight_decay": 0.01,
        "optimization_priority": "balanced",
    },
    "moe": {"load_balancing_weight": 0.01, "lora_rank": 16},
    "safety": {"max_grad_norm": 1.0, "early_stopping_patience": 3, "enable_early_stopping": True,
               "checkpoint_interval_minutes": 30.0},
    "wandb": {"mode": "offline"},
    "source": {"training.learning_rate": "/somewhere/training_config.json:3:4"},
}  # fmt: skip
DOMAINS = {"anxiety": 100, "grief": 100, "work": 100}
REASONS = {
    Outcome.FINISHED: Reason.TARGET,
    Outcome.FAILED: Reason.ERROR,
    Outcome.INTERRUPTED: Reason.SIGNAL,
    Outcome.CANCELLED: Reason.OPERATOR,
}


@dataclass
class Tale:
    """Collects records on a clock of its own."""

    wall: float = START
    records: list[e.Record] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=lambda: {name: dict(part) for name, part in CONFIG.items()})

    def say(self, event: e.Event, after: float = 0.0) -> Tale:
        self.wall += after
        self.records.append(e.Record(seq=len(self.records), wall=self.wall, mono=self.wall - START, event=event))
        return self

    def open(self, *, attempt: int = 1, hours: float | None = 1.0, run_id: str = "run-1") -> Tale:
        self.say(
            e.LogOpened(
                schema=1, run_id=run_id, attempt=attempt, pid=1, host="atlas", boot_id="b", version="0.1.0",
                versions={"torch": "2.13.0"},
            )
        )  # fmt: skip
        deadline = None if hours is None else START + 3600 * hours
        return self.say(
            e.RunConfigured(
                config=self.config, config_hash="c0ffee", opened_wall=START, deadline_wall=deadline, reserve_s=60.0
            )
        )

    def prepare(self, *, steps: int = 40, warmup: int = 4, base_loss: float | None = 5.0, **data: Any) -> Tale:
        facts: dict[str, Any] = {
            "train_conversations": 300, "eval_conversations": 30, "train_tokens": 90_000, "train_targets": 50_000,
            "eval_targets": 5_000, "domains": DOMAINS,
            "waterfall": dict.fromkeys(("read", "parsed", "kept", "examples"), 330) | {"tokens": 9900, "targets": 5500},
            "length_edges": (100, 200, 300), "length_counts": (120, 180),
        }  # fmt: skip
        self.say(e.DataPrepared(**(facts | data)), 2.0)
        self.phase(Phase.SETUP, Phase.INIT, 0)
        self.say(
            e.ModelLoaded(
                base_model="owner/base", architecture="MistralForCausalLM", device="CPU", dtype="float32",
                params=1000, trainable_params=10, layers=2, experts=4, top_k=2,
            ),
            3.0,
        )  # fmt: skip
        self.plan(steps=steps, warmup=warmup)
        if base_loss is not None:
            self.evaluate(0, base_loss, scope="full", best=False)
        return self.phase(Phase.INIT, Phase.WARMUP, 0)

    def plan(self, *, steps: int = 40, warmup: int = 4, tokens_per_s: float = 1000.0) -> Tale:
        return self.say(
            e.RunPlanned(
                profile="balanced", source="measured", planned_steps=steps, warmup_steps=warmup, epochs=2.0,
                steps_per_epoch=max(1, steps // 2), conversations_per_step=8, tokens_per_step=1000, eval_every=10,
                tokens_per_s=tokens_per_s,
                estimated_s={"setup": 5.0, "training": float(steps), "evaluation": 4.0, "checkpoints": 2.0,
                             "finalize": 3.0},
            )
        )  # fmt: skip

    def phase(self, old: Phase, new: Phase, step: int, reason: Reason | None = None) -> Tale:
        return self.say(e.PhaseChanged(old=old, new=new, trigger=Trigger.ADVANCE, step=step, reason=reason))

    def step(self, step: int, *, loss: float | None = None, grad_norm: float = 0.5, seconds: float = 1.0) -> Tale:
        known = 4.0 * math.exp(-step / 30) if loss is None else loss
        return self.say(
            e.StepCompleted(
                step=step, epoch=step / 20, loss=known, lr=1e-3, grad_norm=grad_norm, tokens=1000, targets=500,
                step_s=seconds, data_s=0.001,
            ),
            seconds,
        )  # fmt: skip

    def steps(self, first: int, last: int, **choices: Any) -> Tale:
        for number in range(first, last + 1):
            self.step(number, **choices)
            if number % 10 == 0:
                self.route(number)
        return self

    def evaluate(self, step: int, loss: float | None, *, scope: str = "subset", best: bool = True) -> Tale:
        domains = dict.fromkeys(DOMAINS, loss)
        return self.say(
            e.EvalCompleted(step=step, scope=scope, loss=loss, targets=500, eval_s=0.5, best=best, domains=domains), 0.5
        )

    def save(self, step: int, loss: float | None = None, *, best: bool = False) -> Tale:
        return self.say(
            e.CheckpointCompleted(
                step=step, path=f"checkpoint-{step}", cause=Cause.SCHEDULE, bytes=1000, save_s=0.2, eval_loss=loss,
                best=best,
            ),
            0.2,
        )  # fmt: skip

    def route(self, step: int, counts: tuple[int, ...] = (500, 500, 500, 500), source: str = "train") -> Tale:
        return self.say(
            e.ExpertsSampled(
                step=step, source=source, window_steps=10, counts=(counts, counts), token_entropy=(1.0, 1.0),
                balance_loss=1.0, domains=dict.fromkeys(DOMAINS, counts),
            )
        )  # fmt: skip

    def stop(
        self, step: int, outcome: Outcome = Outcome.FINISHED, reason: Reason | None = None, *, code: int = 0
    ) -> Tale:
        why = reason or REASONS[outcome]
        self.phase(Phase.FINALIZE, Phase.STOPPED, step, why)
        return self.say(
            e.RunStopped(
                outcome=outcome, reason=why, step=step, tokens=step * 1000, trained_s=float(step), paused_s=0.0,
                wall_s=self.wall - START, exit_code=code, best_loss=2.0, best_step=step,
                checkpoint=f"checkpoint-{step}",
            )
        )  # fmt: skip

    def finish(self, step: int, loss: float = 1.2, *, reason: Reason = Reason.TARGET) -> Tale:
        self.phase(Phase.MAIN, Phase.FINALIZE, step, reason)
        self.evaluate(step, loss, scope="full")
        return self.stop(step, reason=reason)

    def fail(self, step: int, error_type: str, message: str) -> Tale:
        self.say(
            e.RunFailed(
                error_type=error_type, message=message, traceback="", phase=Phase.MAIN, step=step,
                remedy="Look at it.",
            )
        )  # fmt: skip
        return self.stop(step, Outcome.FAILED, code=1)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").write_bytes(b"".join(encode(record) for record in self.records))
        return folder


def well(steps: int = 40, loss: float = 0.8) -> Tale:
    """A run in which nothing is amiss: no rule about training, experts or data has anything to say."""
    tale = Tale().open(hours=(steps + 25) / 3600).prepare(steps=steps)
    for start in range(0, steps, 10):
        tale.steps(start + 1, start + 10).evaluate(start + 10, 4.0 - 0.001 * start).save(start + 10, best=True)
        tale.route(start + 10, source="eval")
    return tale.finish(steps, loss)


Told = Callable[[Tale], Story]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """The story of a tale, through a real journal on disk."""

    def gathered(tale: Tale) -> Story:
        return gather(RunDir(tale.write(tmp_path / "run")))

    return gathered


@pytest.fixture
def tale() -> type[Tale]:
    """`tale()` begins a new one."""
    return Tale


@pytest.fixture
def finished() -> Tale:
    """A run in which nothing is amiss."""
    return well()


@pytest.fixture
def evaluation() -> Callable[..., None]:
    """Write an evaluation into a run directory: `evaluation(folder, red=1, title=...)`."""
    from engine.quality.findings import Check, Evaluation, Measure, Method, Section, Severity, Table, Verdict, to_json

    def write(folder: Path, *, red: int = 0, title: str = "gives a resource", note: str = "") -> None:
        import orjson

        checks = tuple(
            Check(
                id=f"safety.{index}", title=title, method=Method.RULE, unit="share", n=12, note=note,
                tuned=Measure(value=0.25, low=0.1, high=0.5), base=Measure(value=0.0, low=0.0, high=0.24),
                threshold="at least 0.9", verdict=Verdict.FAIL if index < red else Verdict.PASS, severity=Severity.RED,
            )
            for index in range(max(1, red))
        )  # fmt: skip
        table = Table(title="Matrix", columns=("domain", title), rows=(("grief", 0.5), (title, None)))
        section = Section(name="safety", title="Appropriateness", caveat=note, checks=checks, tables=(table,))
        (folder / "evaluation").mkdir(parents=True)
        found = Evaluation(wall=START, seconds=9.0, quick=False, sections=(section,), model={"base": title})
        (folder / "evaluation" / "evaluation.json").write_bytes(orjson.dumps(to_json(found)))

    return write
