"""Init: the base model with its adapters, routers and optimizer on the device, begun afresh or restored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from configs.errors import DataError
from configs.schema import Config
from engine.checkpoint.trainer_state import NAME as TRAINER_STATE
from engine.checkpoint.trainer_state import read_trainer_state
from engine.data.batches import Steps, make_bins
from engine.data.example import Example
from engine.data.prepare import Prepared
from engine.model.accounting import parameter_counts
from engine.model.adapters import Adapted, attach
from engine.model.load import load_base
from engine.model.prototypes import choose, initialise_routers, normal_routers
from engine.model.recompute import enable_recompute
from engine.model.spec import AdapterMode, AdapterSpec, ExpertMode
from engine.training.optimizer import build_optimizer
from engine.training.pace import Pace
from engine.training.placement import Placement, place
from engine.training.planned import Planned
from engine.training.planning import begin, plan_again
from engine.training.saving import find_checkpoint, restore
from engine.training.session import Session
from engine.training.trainer import Trainer
from states.events import MessageLogged, ModelLoaded


def build(session: Session, prepared: Prepared, tokenizer: PreTrainedTokenizerBase, planned: Planned) -> Trainer:
    """Everything the loop needs in memory. A resume takes the checkpoint's plan, placement and position."""
    checkpoint = find_checkpoint(session)
    recorded = _recorded(checkpoint)
    placement = place(session.config.training, recorded.get("runtime"))
    torch.set_num_threads(placement.threads)
    torch.manual_seed(session.config.training.seed)
    _same_data(recorded, prepared)
    adapted = _load(session, prepared, placement)
    fresh = checkpoint is None
    if fresh:
        _start_routers(session, adapted, prepared.train, placement.bin_tokens)
    if session.config.training.gradient_checkpointing:
        enable_recompute(adapted)
    plan = planned if fresh else Planned.from_json(recorded["plan"])
    trainer = _trainer(session, prepared, tokenizer, adapted, placement, plan)
    if checkpoint is None:
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


def _recorded(checkpoint: Path | None) -> dict[str, Any]:
    return {} if checkpoint is None else dict(read_trainer_state(checkpoint / TRAINER_STATE).stint)


def _same_data(recorded: dict[str, Any], prepared: Prepared) -> None:
    """A resume on other conversations would neither repeat nor finish what was begun."""
    before = recorded.get("runtime", {}).get("data")
    if before is not None and before != list(prepared.digests):
        raise DataError(
            "The dataset has changed since this run began, so its checkpoint cannot go on with it. Put the old file "
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
            device=_device_name(placement.torch_device),
            dtype=placement.dtype,
            params=counts.base,
            trainable_params=counts.trainable,
            layers=len(adapted.layers),
            experts=adapted.spec.num_experts if adapted.spec.routed else 0,
            top_k=adapted.spec.top_k if adapted.spec.routed else 0,
        )
    )
    return adapted


def _start_routers(session: Session, adapted: Adapted, train: Sequence[Example], bin_tokens: int) -> None:
    """Give the routers their start; a zero router would keep all experts equal for ever."""
    if not adapted.spec.routed:
        return
    moe = session.config.moe
    with session.task("start the routers", detail=moe.router_init):
        if moe.router_init == "normal":
            normal_routers(adapted)
            return
        domains = [example.domain_index for example in train]
        picked = choose(domains, moe.prototype_conversations, seed=adapted.spec.seed)
        start = initialise_routers(adapted, make_bins([train[index] for index in picked], bin_tokens))
    if start.note:
        session.emit(MessageLogged(level="WARNING", logger="stint", text=f"Routers start at random: {start.note}."))


def _trainer(
    session: Session,
    prepared: Prepared,
    tokenizer: PreTrainedTokenizerBase,
    adapted: Adapted,
    placement: Placement,
    plan: Planned,
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
        pace=Pace(planned_step_s=plan.step_s),
        runtime={**placement.to_json(), "data": list(prepared.digests)},
        plan=plan,
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
