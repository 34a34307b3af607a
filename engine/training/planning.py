"""The plan as a run makes and follows it: from history or assumption in Setup, from real steps in Init, then fixed."""

from __future__ import annotations

import time
from dataclasses import replace

from configs.schema import Config
from engine.checkpoint.space import checkpoint_bytes
from engine.data.prepare import Prepared
from engine.plan.estimate import make_plan, to_event
from engine.plan.history import history_key, recall, remember
from engine.plan.parameters import base_parameters
from engine.plan.report import memory_gb, report
from engine.plan.throughput import SAVE_BYTES_PER_S, SAVE_LEAST_S, Costs, assumed
from engine.plan.workload import from_config
from engine.run.rundir import write_json
from engine.training.calibrate import tokens_per_second
from engine.training.memory import in_memory
from engine.training.placement import Placement, place
from engine.training.planned import Planned
from engine.training.progress import Progress
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.patience import Patience
from states.schedule import begin as begin_horizon

ADAPTER_SHARE = 0.0101
"""Trainable values over the base's, as at the 12B shape; the real number is known once the model is loaded."""


def begin(config: Config, plan: Planned) -> Progress:
    """The position of a run that has taken no step."""
    return Progress(
        horizon=begin_horizon(plan.planned_steps, plan.warmup_steps),
        patience=Patience(limit=config.safety.early_stopping_patience),
    )


def plan_first(session: Session, prepared: Prepared) -> Planned:
    """The plan of Setup: the speed of an earlier run on this device, else the profile's assumption."""
    training = session.config.training
    placement = place(training, None)
    params = base_parameters(session.base)
    costs = assumed(
        profile=training.optimization_priority,
        base_params=params,
        device=placement.device,
        cores=placement.threads,
        checkpoint_bytes=checkpoint_bytes(int(params * ADAPTER_SHARE)),
    )
    known = recall(_key(session, placement, params))
    if known is not None:
        costs = replace(costs, tokens_per_s=known, source="history")
    return _settle(session, prepared, costs, params)


def plan_again(session: Session, trainer: Trainer) -> Planned:
    """The plan of Init: with the speed of real forward and backward passes on this model and data."""
    with session.task("measure the speed") as progressed:
        speed = in_memory(session, trainer, lambda: tokens_per_second(trainer, progressed))
    placement = place(session.config.training, trainer.runtime)
    params = base_parameters(session.base)
    remember(_key(session, placement, params), speed, wall=time.time())
    costs = Costs(
        tokens_per_s=speed,
        source="measured",
        setup_s=time.monotonic() - session.started_mono,
        save_s=SAVE_LEAST_S + trainer.checkpoint_bytes / SAVE_BYTES_PER_S,
    )
    return _settle(session, trainer.prepared, costs, params)


def _settle(session: Session, prepared: Prepared, costs: Costs, params: int) -> Planned:
    """Plan, record the plan as event and file, and reduce it to what the loop reads."""
    window = session.launch.window
    remaining = session.remaining_s()
    # What has passed of the window since it opened is gone; setup_s counts only this process.
    passed = max(0.0, time.time() - window.opened_wall - (time.monotonic() - session.started_mono))
    window_s = None if remaining is None or window.length_s is None else max(1.0, window.length_s - passed)
    work = from_config(
        session.config,
        prepared.event(),
        eval_tokens=prepared.stats.validation.tokens,
        window_s=window_s,
    )
    work = replace(work, train_examples=len(prepared.train))
    plan = make_plan(work, costs, manual=session.launch.manual)
    event = to_event(plan)
    session.emit(event)
    memory = memory_gb(work.profile, params, place(session.config.training, None).device)
    write_json(session.rundir.plan_report, report(plan, work, opened_wall=window.opened_wall, memory=memory))
    return Planned(event=event, eval_subset_tokens=plan.eval_subset_tokens, step_s=plan.step_s)


def _key(session: Session, placement: Placement, params: int) -> str:
    training = session.config.training
    return history_key(
        device=placement.device_name,
        base_params=params,
        dtype=placement.dtype,
        threads=placement.threads,
        max_length=training.max_length,
        bin_tokens=placement.bin_tokens,
        checkpointing=training.gradient_checkpointing,
    )
