"""The engine's own step on conversations that were made up: model, optimizer and bins, and no run around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from configs.load import demo_dir, load
from engine.data.batches import Steps
from engine.data.example import Example
from engine.model.adapters import Adapted
from engine.training.optimizer import build_optimizer
from engine.training.pace import Pace
from engine.training.trainer import Trainer


def bare_trainer(
    adapted: Adapted, examples: Sequence[Example], *, per_step: int, bin_tokens: int, rate: float
) -> Trainer:
    """What `engine.training.step.take_step` works on."""
    config = load(demo_dir())
    training = config.training.model_copy(
        update={"learning_rate": rate, "router_learning_rate": None, "weight_decay": 0.0, "bin_tokens": bin_tokens}
    )
    named = adapted.parameters()
    absent = cast("Any", None)
    return Trainer(
        config=config.model_copy(update={"training": training}),
        adapted=adapted,
        tokenizer=absent,
        optimizer=build_optimizer(named, training),
        parameters=list(named.values()),
        steps=Steps(examples, per_step, 0),
        prepared=absent,
        device=adapted.device,
        bin_tokens=bin_tokens,
        max_grad_norm=1.0,
        pace=Pace(planned_step_s=1.0),
        plan=absent,
        runtime={},
    )
