"""Synthetic runs for the cockpit's tests: the events of an engine, with made-up but plausible numbers."""

from __future__ import annotations

import math
import random

from states import events as e
from states.phases import Cause, Outcome, Phase, Reason
from states.reducer import fold
from states.view import RunView
from tests.tuiapp.shape import DEMO as DEMO
from tests.tuiapp.shape import LARGE as LARGE
from tests.tuiapp.shape import Shape
from tests.tuiapp.tale import DOMAINS, START, Tale


def tell(shape: Shape, *, until: int | None = None, ended: bool = True, seed: int = 7) -> list[e.Record]:
    """The records of a run, up to step `until`; `ended` adds Finalize and the last record."""
    rng = random.Random(seed)
    tale = Tale()
    _prepare(tale, shape)
    best = math.inf
    best_step = 0
    last = shape.steps if until is None else until
    for step in range(1, last + 1):
        if step == shape.warmup + 1:
            tale.phase(Phase.WARMUP, Phase.MAIN, shape.warmup)
        _step(tale, shape, step, rng)
        if step % shape.eval_every == 0:
            loss = _loss(shape, step) + 0.09 + 0.25 * max(0.0, step / shape.steps - 0.8) + rng.gauss(0, 0.008)
            if loss < best:
                best, best_step = loss, step
            _evaluate(tale, step, loss, best_step == step, "subset", shape.step_s)
        if step % shape.save_every == 0:
            _save(tale, shape, step, Cause.SCHEDULE, best if best < math.inf else None, best_step == step)
    if ended:
        tale.phase(Phase.MAIN, Phase.FINALIZE, last, Reason.TARGET)
        _evaluate(tale, last, best + 0.01, False, "full", shape.step_s)
        tale.task("export adapter", shape.step_s)
        tale.phase(Phase.FINALIZE, Phase.STOPPED, last)
        tale.say(
            e.RunStopped(
                outcome=Outcome.FINISHED,
                reason=Reason.TARGET,
                step=last,
                tokens=last * shape.tokens,
                trained_s=last * shape.step_s,
                paused_s=0.0,
                wall_s=tale.wall - START,
                exit_code=0,
                best_loss=best,
                best_step=best_step,
                checkpoint=f"checkpoint-{best_step}",
            )
        )
    return tale.records


def _prepare(tale: Tale, shape: Shape) -> None:
    tale.say(
        e.LogOpened(schema=1, run_id=shape.run_id, attempt=1, pid=4711, host="atlas", boot_id="b0", version="0.1.0")
    )
    config = {
        "training": {"base_model": shape.base, "output_dir": "therapeutic_moe_model"},
        "safety": {"checkpoint_interval_minutes": 30, "max_grad_norm": 1.0},
    }
    tale.say(
        e.RunConfigured(
            config=config,
            config_hash="9f2c",
            opened_wall=START,
            deadline_wall=START + shape.window_s,
            reserve_s=shape.reserve_s,
        )
    )
    slow = shape.step_s
    tale.task("read dataset", 1.2 * slow, "counsel_chat.json", 2129)
    tale.task("render conversations", 0.8 * slow, "", 2129)
    tale.say(
        e.DataPrepared(
            train_conversations=7200 if shape.gpu else 180,
            eval_conversations=800 if shape.gpu else 20,
            train_tokens=shape.tokens * 225,
            train_targets=shape.tokens * 120,
            eval_targets=shape.tokens * 12,
            domains=DOMAINS,
            notes=("12 conversations are longer than 2,048 tokens and were split at turns.",),
        )
    )
    tale.phase(Phase.SETUP, Phase.INIT, 0)
    tale.task("load base model", 2.0 * slow, shape.base, 12)
    tale.task("attach experts", 0.5 * slow, "4 experts, top 2", None)
    tale.say(
        e.ModelLoaded(
            base_model=shape.base,
            architecture="MistralForCausalLM",
            device="cuda:0" if shape.gpu else "cpu",
            dtype="bfloat16" if shape.gpu else "float32",
            params=shape.params,
            trainable_params=shape.trained,
            layers=shape.layers,
            experts=4,
            top_k=2,
        )
    )
    tale.say(
        e.RunPlanned(
            profile="balanced",
            source="measured",
            planned_steps=shape.steps,
            warmup_steps=shape.warmup,
            epochs=shape.epochs,
            steps_per_epoch=shape.steps // 3,
            conversations_per_step=32,
            tokens_per_step=shape.tokens,
            eval_every=shape.eval_every,
            tokens_per_s=shape.tokens / shape.step_s,
            estimated_s={
                "setup": 4 * slow,
                "training": shape.steps * slow,
                "evaluation": shape.steps * slow * 0.04,
                "checkpoints": slow * 6,
                "finalize": slow * 10,
            },
            changes=("Warm-up is 10% of the steps: 1,000 warm-up steps would never reach the peak.",),
        )
    )
    tale.phase(Phase.INIT, Phase.WARMUP, 0)


def _loss(shape: Shape, step: int) -> float:
    t = step / shape.steps
    return shape.last_loss + (shape.first_loss - shape.last_loss) * (0.65 * math.exp(-9 * t) + 0.35 * (1 - t) ** 2)


def _step(tale: Tale, shape: Shape, step: int, rng: random.Random) -> None:
    progress = step / shape.steps
    lr = 3e-4 * (step / shape.warmup if step <= shape.warmup else 0.5 * (1 + math.cos(math.pi * progress)))
    seconds = shape.step_s * rng.uniform(0.95, 1.06)
    tale.say(
        e.StepCompleted(
            step=step,
            epoch=step / (shape.steps / 3),
            loss=_loss(shape, step) + rng.gauss(0, 0.07),
            lr=lr,
            grad_norm=0.45 + 0.8 * math.exp(-5 * progress) + abs(rng.gauss(0, 0.12)),
            tokens=round(shape.tokens * rng.uniform(0.94, 1.0)),
            targets=shape.tokens // 2,
            step_s=seconds,
            data_s=0.004,
        ),
        seconds,
    )
    if step % 10 == 0:
        _experts(tale, shape, step, rng)
    if shape.gpu:
        tale.say(
            e.GpuSampled(
                devices=(
                    e.GpuDevice(
                        index=0,
                        uuid="GPU-1",
                        name="NVIDIA H100 80GB HBM3",
                        memory_used=round(61.2 * 2**30),
                        memory_total=round(79.6 * 2**30),
                        utilisation=rng.uniform(93, 99),
                        power_w=rng.uniform(628, 668),
                        power_limit_w=700.0,
                        temperature_c=rng.uniform(69, 73),
                        sm_mhz=1830.0,
                    ),
                )
            )
        )
    tale.say(
        e.HostSampled(
            cpu_percent=rng.uniform(38, 61) if not shape.gpu else rng.uniform(6, 9),
            process_percent=rng.uniform(95, 104),
            rss=round(1.1 * 2**30),
            memory_used=round(3.4 * 2**30),
            memory_total=round(15.6 * 2**30),
            disk_free=812 * 10**9,
        )
    )


def _experts(tale: Tale, shape: Shape, step: int, rng: random.Random) -> None:
    def counts(spread: float) -> tuple[int, ...]:
        return tuple(round(2000 * (1 + rng.uniform(-spread, spread))) for _ in range(4))

    lean = {name: tuple(round(900 * (1.35 if i == j else 0.9)) for j in range(4)) for i, name in enumerate(DOMAINS)}
    tale.say(
        e.ExpertsSampled(
            step=step,
            source="train",
            window_steps=10,
            counts=tuple(counts(0.12) for _ in range(shape.layers)),
            token_entropy=tuple(0.94 + rng.uniform(-0.05, 0.05) for _ in range(shape.layers)),
            balance_loss=1.004,
            domains=lean,
        )
    )


def _evaluate(tale: Tale, step: int, loss: float, best: bool, scope: str, slow: float) -> None:
    tale.say(e.EvalStarted(step=step, scope=scope, conversations=64 if scope == "subset" else 800))
    tale.say(e.TaskProgressed(task="evaluate", done=32), slow * 0.4)
    domains: dict[str, float | None] = {name: loss + 0.05 * index for index, name in enumerate(DOMAINS)}
    tale.say(
        e.EvalCompleted(step=step, scope=scope, loss=loss, targets=9000, eval_s=slow * 0.8, best=best, domains=domains),
        slow * 0.4,
    )


def _save(tale: Tale, shape: Shape, step: int, cause: Cause, loss: float | None, best: bool) -> None:
    path = f"checkpoint-{step}"
    tale.say(e.CheckpointStarted(step=step, path=path, cause=cause))
    seconds = shape.step_s * 0.4
    tale.say(
        e.CheckpointCompleted(
            step=step, path=path, cause=cause, bytes=shape.trained * 12, save_s=seconds, eval_loss=loss, best=best
        ),
        seconds,
    )


def view(shape: Shape, *, until: int | None = None, ended: bool = False) -> RunView:
    """The folded view of a run."""
    return fold(tell(shape, until=until, ended=ended))


def prefix(shape: Shape, kind: str, *, nth: int = 1) -> list[e.Record]:
    """The records up to and with the nth of `kind`."""
    seen = 0
    records = tell(shape, until=20)
    for index, record in enumerate(records):
        seen += record.event.kind == kind
        if seen == nth:
            return records[: index + 1]
    raise LookupError(kind)
