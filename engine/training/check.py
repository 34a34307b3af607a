"""`--check`: everything that can stop a start, asked before it costs anything, and the first two steps; nothing stays.

What needs no model comes first. The rest is Setup and Init themselves, in a session that is thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from configs.errors import UserError
from engine.plan.disk import Disk
from engine.plan.shape import shape_of, trainable
from engine.plan.throughput import DOWNLOAD_BYTES_PER_S
from engine.run.quiet import quiet_stdout
from engine.training.choose import Choice, check_inputs, launch_of, settle
from engine.training.launch import Launch
from engine.training.rehearsal import nearest, rehearsal
from engine.training.resuming import AlreadyFinished
from states.events import DataPrepared, Event, MessageLogged, ModelLoaded, RunPlanned
from states.phases import ExitCode
from states.text import clean
from states.wording import duration, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check: `ok`, `note` (it may run), `fail` (it must not) or `skip`."""

    name: str
    verdict: str
    text: str


@dataclass(slots=True, kw_only=True)
class Table:
    """What was checked so far."""

    tell: Callable[[Row], None]
    rows: list[Row] = field(default_factory=list)
    code: ExitCode = ExitCode.FINISHED
    seconds: float = 0.0

    def add(self, name: str, verdict: str, text: str) -> None:
        """One more row."""
        row = Row(name=name, verdict=verdict, text=clean(" ".join(text.split())))
        self.rows.append(row)
        self.tell(row)

    def fail(self, name: str, error: UserError) -> None:
        """A row that says why a run must not start; data keeps its own exit code, all else is usage."""
        self.refuse(name, error.message, ExitCode.DATA if error.exit_code is ExitCode.DATA else ExitCode.USAGE)

    def refuse(self, name: str, text: str, code: ExitCode = ExitCode.USAGE) -> None:
        """The same in words."""
        self.add(name, "fail", text)
        self.code = self.code or code

    def to_json(self) -> dict[str, Any]:
        """The answer of `--check --json`."""
        checks = [{"name": row.name, "verdict": row.verdict, "text": row.text} for row in self.rows]
        return {"ok": not self.code, "exit_code": int(self.code), "seconds": self.seconds, "checks": checks}


def run_check(choice: Choice, tell: Callable[[Row], None] = lambda row: None) -> Table:
    """Check a start with these options; `tell` hears each row as it is known."""
    began = time.monotonic()
    table = Table(tell=tell)
    launch = _start(choice, table)
    if launch is not None:
        _around(launch, table)
        if not table.code:
            _rehearse(launch, table)
    table.seconds = time.monotonic() - began
    return table


def _start(choice: Choice, table: Table) -> Launch | None:
    """Configuration, run directory, base model, chat template, conversations: what a start refuses at once."""
    name = "configuration"
    try:
        settled = settle(choice)
        training = settled.config.training
        table.add(
            name, "ok", f"{training.conversations_per_step} conversations a step, {training.optimization_priority}"
        )
        name = "run directory"
        launch = launch_of(choice, settled)
        training = launch.config.training
        table.add(name, "ok", f"{launch.directory}" + (": an unfinished run goes on" if launch.resume else ""))
        name = "base and data"
        with quiet_stdout():
            check_inputs(launch)
        table.add(name, "ok", f"{training.base_model} learns from {training.dataset}")
    except AlreadyFinished as done:
        table.add(name, "note", str(done))
        return None
    except UserError as error:
        table.fail(name, error)
        return None
    return launch


def _around(launch: Launch, table: Table) -> None:
    """Disk, card and memory, W&B."""
    from engine.model.resolve import resolve
    from engine.training.capacity import memory_limit
    from engine.training.placement import place
    from engine.training.preflight import concerns
    from engine.training.versions import versions
    from engine.watch.wandb_run import logged_in, mode

    config = launch.config
    found = versions()
    known = ", ".join(f"{name} {found[name]}" for name in ("torch", "transformers") if name in found)
    table.add("environment", "ok", f"Python {found['python']}, {known}")
    shape = shape_of(resolve(config.training.base_model))
    disk = Disk.of(launch.directory, trainable=trainable(shape, config.moe), keep=config.training.save_total_limit)
    room = f"{size(disk.needed)} for checkpoints, {size(disk.free)} free where {nearest(launch.directory)} lies"
    if disk.fits:
        table.add("disk", "ok", room)
    else:
        table.refuse("disk", f"{room}: free {size(disk.needed - disk.free)}, or lower save_total_limit.")
    try:
        placement = place(config.training, None)
        limit = memory_limit(placement.torch_device)
        table.add("device", "ok", f"{placement.device_name}, {placement.dtype}, {size(limit)} of memory")
    except UserError as error:
        table.fail("device", error)
    for sentence in concerns(config, shape, launch.directory):
        if disk.fits or "Checkpoints need" not in sentence:
            table.add("machine", "note", sentence)
    wanted = config.wandb.mode
    if wanted == "online" and not logged_in():
        table.add("W&B", "note", "nobody is logged in (`wandb login`, or WANDB_API_KEY): the run is kept offline")
    else:
        table.add("W&B", "ok", mode(config.wandb))


def _rehearse(launch: Launch, table: Table) -> None:
    """Setup and Init: the audit, labels, the plan; with the base loaded, two steps and the speed."""
    from engine.model.resolve import resolve
    from engine.training.build import build
    from engine.training.preparing import prepare_run

    base = resolve(launch.config.training.base_model)
    if isinstance(base, str):
        _remote(base, table)
        return
    name = "data"
    with rehearsal(launch) as (session, told):
        try:
            with quiet_stdout():
                prepared, tokenizer, plan = prepare_run(session, None)
            _tell_data(told, table)
            _tell_plan("plan", told, table, notes=False)
            name = "base model"
            if not table.code:
                with quiet_stdout():
                    build(session, prepared, tokenizer, plan, None)
                _tell_model(told, table)
                _tell_plan("speed", told, table, notes=True)
        except UserError as error:
            if any(isinstance(event, ModelLoaded) for event in told):
                name = "loss"
            table.fail(name, error)


def _remote(name: str, table: Table) -> None:
    """A base that must be downloaded: is there room, and how long will the window wait for it?"""
    from engine.model.download import look_up

    try:
        with quiet_stdout():
            remote = look_up(name)
    except UserError as error:
        table.fail("base model", error)
        return
    if remote.shortage is not None:
        table.refuse("base model", remote.shortage)
        return
    wait = duration(remote.missing / DOWNLOAD_BYTES_PER_S)
    table.add(
        "base model",
        "skip",
        f"{size(remote.missing)} of {name}, revision {remote.revision[:12]}, must be downloaded, which takes about "
        f"{wait} of the window. After `hf download {name}` this check goes on to labels, plan and loss.",
    )


def _tell_data(told: list[Event], table: Table) -> None:
    facts = next(event for event in told if isinstance(event, DataPrepared))
    table.add(
        "data",
        "ok",
        f"{facts.train_conversations:,} conversations to learn from, {facts.eval_conversations:,} held out",
    )
    for note in facts.notes:
        table.add("data", "note", note)
    share = facts.train_targets / max(1, facts.train_tokens)
    table.add("labels", "ok", f"{facts.train_targets:,} of {facts.train_tokens:,} tokens carry loss ({share:.0%})")


def _tell_plan(name: str, told: list[Event], table: Table, *, notes: bool) -> None:
    plan = [event for event in told if isinstance(event, RunPlanned)][-1]
    how = {"assumed": "assumed", "history": "as in an earlier run here", "measured": "measured"}[plan.source]
    whole = duration(sum(plan.estimated_s.values()))
    steps = "1 step" if plan.planned_steps == 1 else f"{plan.planned_steps:,} steps"
    text = f"{steps} in {whole} at {plan.tokens_per_s:,.0f} tokens a second, {how}"
    memory = sum(plan.memory_bytes.values())
    if plan.memory_limit is not None:
        text += f"; {size(memory)} of {size(plan.memory_limit)} of memory"
    if plan.fits:
        table.add(name, "ok", text)
        for sentence in plan.changes if notes else ():
            table.add(name, "note", sentence)
    else:
        table.refuse(name, f"{text}. {' '.join(plan.changes)}")


def _tell_model(told: list[Event], table: Table) -> None:
    model = next(event for event in told if isinstance(event, ModelLoaded))
    table.add(
        "base model", "ok", f"{model.architecture}, {model.params:,} parameters, {model.trainable_params:,} trained"
    )
    for event in told:
        if isinstance(event, MessageLogged) and event.logger == "stint.preflight" and event.level == "INFO":
            table.add("loss", "ok", event.text)
