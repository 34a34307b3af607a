"""A step that is not finite leaves no trace, though nobody on the host knows of it when the optimizer is called."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from configs.schema import TrainingConfig
from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model.adapters import attach
from engine.model.late import Late
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.training.optimizer import build_optimizer, step_where
from engine.training.step import take_step


@pytest.fixture
def trainer() -> SimpleNamespace:
    """What a step works on."""
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64, tie_word_embeddings=False,
    )  # fmt: skip
    adapted = attach(MistralForCausalLM(config), AdapterSpec(rank=4, domains=("a",)))
    normal_routers(adapted, std=0.5)
    named = adapted.parameters()
    return SimpleNamespace(
        adapted=adapted,
        optimizer=build_optimizer(named, TrainingConfig(base_model="base", dataset="data")),
        parameters=list(named.values()),
        device=torch.device("cpu"),
        bin_tokens=64,
        max_grad_norm=1.0,
    )


def examples(seed: int) -> list[Example]:
    chance = np.random.default_rng(seed)
    ids = [chance.integers(1, 64, size=size).astype(np.int32) for size in (30, 20, 40)]
    return [Example(ids=each, labels=each, domain_index=0, conversation=i) for i, each in enumerate(ids)]


def state(trainer: SimpleNamespace) -> list[torch.Tensor]:
    """Everything that a step may move, copied."""
    moments = [
        trainer.optimizer.state[p][name] for p in trainer.parameters for name in ("exp_avg", "exp_avg_sq", "step")
    ]
    routing = trainer.adapted.routing
    return [t.detach().clone() for t in (*trainer.parameters, *moments, routing.usage, routing._window)]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("where", "why"), [("norm", "the loss is not finite"), ("head", "the gradient is not finite")])
def test_a_rejected_step_moves_neither_parameters_nor_moments_nor_statistics(trainer, monkeypatch, where, why) -> None:
    take_step(trainer, make_bins(examples(0), trainer.bin_tokens), rate=1e-2, ramp=1.0)
    before = state(trainer)
    with monkeypatch.context() as patch:
        if where == "norm":
            patch.setattr(trainer.adapted.model.model.norm.weight, "data", torch.full((32,), math.nan))
        else:
            patch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(math.inf))
        stats = take_step(trainer, make_bins(examples(1), trainer.bin_tokens), rate=1e-2, ramp=1.0)
    assert stats.rejected == why
    assert (stats.loss is None) == (where == "norm")
    assert same(state(trainer), before)
    assert all(p.grad is None for p in trainer.parameters)
    accepted = take_step(trainer, make_bins(examples(1), trainer.bin_tokens), rate=1e-2, ramp=1.0)
    assert accepted.rejected is None
    assert accepted.loss is not None
    assert not same(state(trainer), before)


def test_steps_around_a_rejected_one_are_those_of_a_run_without_it(trainer, monkeypatch) -> None:
    fresh = [p.detach().clone() for p in trainer.parameters]

    def run(*, poison: bool) -> list[torch.Tensor]:
        with torch.no_grad():
            for parameter, start in zip(trainer.parameters, fresh, strict=True):
                parameter.copy_(start)
        trainer.optimizer = build_optimizer(
            trainer.adapted.parameters(), TrainingConfig(base_model="base", dataset="data")
        )
        trainer.adapted.routing.load_state({"usage": torch.full((2, 4), 0.25)})
        if poison:
            with monkeypatch.context() as patch:
                patch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(math.nan))
                take_step(trainer, make_bins(examples(9), trainer.bin_tokens), rate=1e-2, ramp=1.0)
        for seed in (1, 2):
            take_step(trainer, make_bins(examples(seed), trainer.bin_tokens), rate=1e-2, ramp=1.0)
        return state(trainer)

    assert same(run(poison=True), run(poison=False))


def test_an_update_is_made_or_not_made_by_what_lies_on_the_device() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    for accepted in (False, True):
        weight.grad = torch.ones(3)
        step_where(optimizer, torch.tensor(accepted))
        assert (weight == 1.0).all() != accepted
        assert float(optimizer.state[weight]["step"]) == float(accepted)
    assert not hasattr(optimizer, "found_inf")


def test_numbers_on_their_way_are_those_of_the_moment_they_were_sent() -> None:
    numbers = torch.tensor([1.0, 2.0])
    late = Late.of(numbers)
    numbers.zero_()
    assert late.read().tolist() == [1.0, 2.0]
