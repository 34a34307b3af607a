"""Init: the base model with its adapters, routers and optimizer on the device, begun afresh or restored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from configs.errors import DataError
from configs.schema import Config
from engine.data.batches import Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import Prepared
from engine.model.accounting import parameter_counts
from engine.model.adapters import Adapted, attach
from engine.model.fingerprint import fingerprint
from engine.model.load import fetch, load_base
from engine.model.prototypes import choose, initialise_routers, normal_routers
from engine.model.recompute import enable_recompute
from engine.model.spec import AdapterMode, AdapterSpec, ExpertMode
from engine.plan.layout import EXAMINATION
from engine.training.falling import must_fall
from engine.training.memory import in_memory
from engine.training.optimizer import build_optimizer
from engine.training.pace import Pace
from engine.training.placement import Placement, place
from engine.training.planned import Planned
from engine.training.planning import begin, plan_again
from engine.training.saving import recorded, restore
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import MessageLogged, ModelLoaded


def build(
    session: Session,
    prepared: Prepared,
    tokenizer: PreTrainedTokenizerBase,
    plan: Planned,
    checkpoint: Path | None,
) -> Trainer:
    """Everything the loop needs in memory. A resume takes the checkpoint's plan, placement and position."""
    known = {} if checkpoint is None else recorded(checkpoint)
    placement = place(session.config.training, known.get("runtime"))
    if checkpoint is None:
        placement = plan.placed(placement)
    torch.set_num_threads(placement.threads)
    torch.manual_seed(session.config.training.seed)
    identity = {
        "data": list(prepared.digests),
        "template": _digest(tokenizer),
        "base": fingerprint(fetch(session.base)),
    }
    _same_inputs(known.get("runtime", {}), identity)
    adapted = _load(session, prepared, placement)
    trainer = _trainer(session, prepared, tokenizer, adapted, placement, plan, identity)
    if checkpoint is None:
        _start_routers(session, trainer)
    if placement.recompute:
        enable_recompute(adapted)
    if checkpoint is None:
        must_fall(session, trainer)
        trainer.follow(plan_again(session, trainer))
        session.progress = begin(session.config, trainer.plan)
    else:
        with session.task("restore", detail=checkpoint.name):
            restore(session, trainer, checkpoint)
    return trainer


def adapter_spec(config: Config, domains: Sequence[str]) -> AdapterSpec:
    """The configured adapters."""
    moe = config.moe
    return AdapterSpec(
        mode=AdapterMode(moe.adapter_mode),
        experts=ExpertMode(moe.expert_mode),
        num_experts=moe.num_experts,
        top_k=moe.top_k,
        rank=moe.lora_rank,
        alpha=moe.lora_alpha,
        balance_weight=moe.load_balancing_weight,
        usage_decay=moe.usage_ema_decay,
        domains=tuple(domains),
        seed=config.training.seed,
    )


def _digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """What conversations are rendered with: another template makes other tokens of the same data."""
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()


def _same_inputs(before: dict[str, Any], identity: dict[str, Any]) -> None:
    """A resume on other conversations or another base would neither repeat nor finish what was begun."""
    for key, what in (("data", "dataset"), ("template", "chat template"), ("base", "base model")):
        if key in before and before[key] != identity[key]:
            raise DataError(
                f"The {what} has changed since this run began, so its checkpoint cannot go on with it. Put the old one "
                "back, or start a new run with another --output-dir."
            )


def _load(session: Session, prepared: Prepared, placement: Placement) -> Adapted:
    config = session.config
    with session.task("load base model", detail=config.training.base_model):
        model = load_base(session.base, dtype=placement.torch_dtype, device=placement.torch_device)
    with session.task("attach adapters"):
        adapted = attach(model, adapter_spec(config, prepared.domains))
        counts = parameter_counts(adapted)
    session.emit(
        ModelLoaded(
            base_model=config.training.base_model,
            architecture=type(model).__name__,
            device=placement.device_name,
            dtype=placement.dtype,
            params=counts.base,
            trainable_params=counts.trainable,
            layers=len(adapted.layers),
            experts=adapted.spec.num_experts if adapted.spec.routed else 0,
            top_k=adapted.spec.top_k if adapted.spec.routed else 0,
        )
    )
    return adapted


def _start_routers(session: Session, trainer: Trainer) -> None:
    """Give the routers their start; a zero router would keep all experts equal for ever. As `in_memory`."""
    adapted, prepared = trainer.adapted, trainer.prepared
    if not adapted.spec.routed:
        return
    moe = session.config.moe
    with session.task("start the routers", detail=moe.router_init):
        if moe.router_init == "normal":
            normal_routers(adapted)
            return
        labelled = _prototypes(prepared, moe.domains)
        domains = [example.domain_index for example in labelled]
        picked = choose(domains, moe.prototype_conversations, seed=adapted.spec.seed)
        chosen = [labelled[index] for index in picked]
        if len(prepared.made) == len(prepared.domains):
            # Groups by wording choose the conversations; what the model makes of them decides the directions.
            chosen = [replace(example, domain_index=-1) for example in chosen]
        start = in_memory(session, trainer, lambda: initialise_routers(adapted, make_bins(chosen, trainer.bin_tokens)))
    if start.note:
        session.emit(MessageLogged(level="WARNING", logger="stint", text=f"Routers start at random: {start.note}."))


def _prototypes(prepared: Prepared, domains: Sequence[str] | None) -> list[Example]:
    """Training examples by the domain whose prototype they make: `domains` in their order, or all that were found."""
    place = {name: index for index, name in enumerate(domains or prepared.domains)}
    named = [(example, place.get(prepared.domains[example.domain_index], -1)) for example in prepared.train]
    return [replace(example, domain_index=index) for example, index in named if index >= 0]


def _trainer(
    session: Session,
    prepared: Prepared,
    tokenizer: PreTrainedTokenizerBase,
    adapted: Adapted,
    placement: Placement,
    plan: Planned,
    identity: dict[str, Any],
) -> Trainer:
    training = session.config.training
    named = adapted.parameters()
    return Trainer(
        config=session.config,
        adapted=adapted,
        tokenizer=tokenizer,
        optimizer=build_optimizer(named, training),
        parameters=list(named.values()),
        steps=Steps(prepared.train, training.conversations_per_step, training.seed),
        prepared=prepared,
        device=adapted.device,
        bin_tokens=placement.bin_tokens,
        max_grad_norm=session.config.safety.max_grad_norm,
        pace=Pace(planned_step_s=plan.step_s, examination=EXAMINATION if adapted.spec.routed else 0.0),
        runtime={**placement.to_json(), **identity},
        plan=plan,
    )
