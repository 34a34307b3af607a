"""The plan as a run makes and follows it: from history or assumption in Setup, from real steps in Init, then fixed."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from configs.errors import ConfigError
from configs.schema import Config
from engine.data.prepare import Prepared
from engine.plan.disk import Disk
from engine.plan.estimate import Plan, make_plan, to_event
from engine.plan.history import recalled, remember
from engine.plan.memory import Memory, does_not_fit
from engine.plan.premises import Premises
from engine.plan.report import report
from engine.plan.shape import shape_of, trainable
from engine.plan.throughput import IMPORTS_S, SAVE_LEAST_S, Costs, remembered
from engine.plan.workload import Workload, from_config
from engine.run.rundir import write_json
from engine.training.calibrate import save_seconds, speed
from engine.training.capacity import memory_limit
from engine.training.memory import in_memory
from engine.training.placement import Placement, place
from engine.training.planned import Planned
from engine.training.progress import Progress
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.patience import Patience
from states.schedule import begin as begin_horizon

REMEMBERED_STEPS = 10
"""Steps after which a run's own pace is worth more to the next plan than what Init measured."""


def begin(config: Config, plan: Planned) -> Progress:
    """The position of a run that has taken no step."""
    return Progress(
        horizon=begin_horizon(plan.planned_steps, plan.warmup_steps),
        patience=Patience(limit=config.safety.early_stopping_patience),
    )


def plan_first(session: Session, prepared: Prepared) -> Planned:
    """The plan of Setup: the speed of an earlier run on this device, else the profile's assumption."""
    premises = premises_of(session, prepared, place(session.config.training, None))
    passed_s = time.monotonic() - session.started_mono
    costs = premises.assumed()
    costs = replace(costs, setup_s=costs.setup_s - IMPORTS_S + passed_s)
    memory, adjusted = premises.memory(manual=session.launch.manual)
    if memory.limit is not None and premises.shape.known and memory.parts["weights"] > memory.limit:
        raise ConfigError(str(does_not_fit(memory)))
    costs = remembered(costs, recalled(premises.key(memory)), passed_s=passed_s)
    work = work_of(session, prepared)
    plan = make_plan(
        work,
        costs,
        manual=session.launch.manual,
        memory=memory,
        adjusted=adjusted,
        alternatives=premises.alternatives(memory),
    )
    return _tell(session, plan, work, premises)


def plan_again(session: Session, trainer: Trainer) -> Planned:
    """The plan of Init: with the speed of real forward and backward passes on this model and data."""
    with session.task("measure the speed") as progressed:
        found = in_memory(session, trainer, lambda: speed(trainer, progressed))
        written_s = save_seconds(session.rundir.path, trainer.checkpoint_bytes)
    premises = replace(
        premises_of(session, trainer.prepared, place(session.config.training, trainer.runtime)),
        # What is free now lacks the base that has been loaded, which the plan counts itself.
        memory_limit=trainer.plan.event.memory_limit,
    )
    passed_s = time.monotonic() - session.started_mono
    costs = Costs(
        tokens_per_s=found.tokens_per_s,
        read_tokens_per_s=found.read_tokens_per_s,
        source="measured",
        setup_s=passed_s,
        save_s=premises.assumed().save_s if written_s is None else SAVE_LEAST_S + written_s,
    )
    memory = premises.as_asked()
    work = work_of(session, trainer.prepared)
    plan = make_plan(work, costs, manual=session.launch.manual, memory=memory, adjusted=trainer.plan.adjusted)
    if not session.rehearsed:
        _remember(premises, memory, costs, {"init_s": passed_s - trainer.plan.made_s})
    return _tell(session, plan, work, premises)


def remember_run(session: Session, trainer: Trainer) -> None:
    """Keep the pace of a run that trained for a while: the next plan here starts from it."""
    pace = trainer.pace
    if len(pace.steps) < REMEMBERED_STEPS:
        return
    premises = premises_of(session, trainer.prepared, place(session.config.training, trainer.runtime))
    costs = Costs(
        tokens_per_s=trainer.plan.event.tokens_per_step / pace.step_s,
        source="measured",
        setup_s=0.0,
        # The middle one: the pace itself keeps the longest, to be on the safe side.
        save_s=statistics.median(pace.saves) if pace.saves else 0.0,
        read_tokens_per_s=trainer.prepared.stats.validation.tokens / pace.full_eval_s if pace.full_eval_s else None,
    )
    _remember(premises, premises.as_asked(), costs, {})


def premises_of(session: Session, prepared: Prepared, placement: Placement) -> Premises:
    """What a plan stands on, on this machine."""
    config, train = session.config, prepared.stats.train
    longest = max(example.tokens for example in (*prepared.train, *prepared.validation))
    return Premises(
        config=config,
        shape=shape_of(session.base),
        device=placement.device,
        device_name=placement.device_name,
        dtype=placement.dtype,
        threads=placement.threads,
        bin_tokens=placement.bin_tokens,
        recompute=placement.recompute,
        longest=longest,
        example_tokens=train.lengths.average,
        train_examples=train.examples,
        domains=len(prepared.domains),
        memory_limit=memory_limit(placement.torch_device),
    )


def work_of(session: Session, prepared: Prepared) -> Workload:
    """The work in what is left of the window."""
    window = session.launch.window
    remaining = session.remaining_s()
    # What has passed of the window since it opened is gone; setup_s counts only this process.
    passed = max(0.0, time.time() - window.opened_wall - (time.monotonic() - session.started_mono))
    window_s = None if remaining is None or window.length_s is None else max(1.0, window.length_s - passed)
    work = from_config(
        session.config,
        prepared.event(),
        eval_tokens=prepared.stats.validation.tokens,
        eval_examples=len(prepared.validation),
        window_s=window_s,
    )
    return replace(work, train_examples=len(prepared.train))


def _tell(session: Session, plan: Plan, work: Workload, premises: Premises) -> Planned:
    """Record the plan as event and file, and reduce it to what the loop reads."""
    event = to_event(plan)
    session.emit(event)
    training = session.config.training
    disk = Disk.of(
        session.rundir.path, trainable=trainable(premises.shape, session.config.moe), keep=training.save_total_limit
    )
    body = report(plan, work, opened_wall=session.launch.window.opened_wall, disk=disk)
    write_json(session.rundir.plan_report, body)
    return Planned(
        event=event,
        eval_subset_tokens=plan.eval_subset_tokens,
        step_s=plan.step_s,
        adjusted=plan.adjusted,
        made_s=time.monotonic() - session.started_mono,
    )


def _remember(premises: Premises, memory: Memory, costs: Costs, more: dict[str, float]) -> None:
    known = {"save_s": costs.save_s, "read_tokens_per_s": costs.read_tokens_per_s, **more}
    kept = {name: float(value) for name, value in known.items() if value}
    remember(premises.key(memory), costs.tokens_per_s, wall=time.time(), more=kept)
