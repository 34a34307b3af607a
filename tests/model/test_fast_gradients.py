"""The fast path is the reference path, and HF + PEFT, to rounding: losses, every gradient, every count."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from engine.model.adapters import Adapted, attach
from engine.model.forward import evaluate_bin, forward_loss, valid_tokens
from engine.model.gates import Ablated, Forced, Uniform
from engine.model.path import fast_path
from engine.model.recompute import enable_recompute
from engine.model.spec import ATTENTION, FFN, AdapterSpec
from engine.model.tally import RoutingSample
from tests.model.conftest import FAMILIES, conversations, pack, spread, tiny

SHAPES = [
    {},
    {"top_k": 1},
    {"top_k": 4},
    {"experts": "private"},
    {"experts": "private", "top_k": 1},
    {"mode": "lora"},
]
SKEWED = [0.4, 0.3, 0.2, 0.1]


def gradients(
    adapted: Adapted, bins: list, *, reference: bool = False
) -> tuple[float, dict[str, torch.Tensor], RoutingSample | None]:
    """One step's loss, gradients and routing, from a skewed usage so that the balance loss pulls."""
    for parameter in adapted.parameters().values():
        parameter.grad = None
    if adapted.spec.routed:
        adapted.routing.usage.copy_(torch.tensor(SKEWED))
    targets = sum(one.targets for one in bins)
    adapted.routing.begin_step(sum(valid_tokens(one) for one in bins))
    total = 0.0
    with adapted.compute.on_reference() if reference else nullcontext():
        for one in bins:
            loss = forward_loss(adapted, one, scale=1 / targets)
            loss.backward()
            total += float(loss.detach())
    adapted.routing.end_step()
    found = {name: p.grad.clone() for name, p in adapted.parameters().items()}
    return total, found, adapted.routing.sample()


def worst(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> tuple[float, str]:
    """The largest relative error of a gradient, and whose."""
    assert found.keys() == wanted.keys()
    return max((float((found[n] - g).norm() / (g.norm() + 1e-12)), n) for n, g in wanted.items())


class ExactNorm(nn.Module):
    """The norm of transformers, which computes in float32 whatever it is given, in its input's own precision."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = norm.weight, norm.variance_epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon))


def exact(adapted: Adapted) -> Adapted:
    """The model in float64, norms included."""
    for name, module in list(adapted.model.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            parent, _, last = name.rpartition(".")
            setattr(adapted.model.get_submodule(parent), last, ExactNorm(module))
    adapted.model.double()
    return adapted


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_loss_gradients_and_counts_equal_the_references(build, family: str, choices: dict) -> None:
    adapted: Adapted = build(family, balance_weight=0.5, **choices)
    assert fast_path(adapted) is not None
    bins = [pack(conversations(5)), pack(conversations(4, seed=1), padding=7)]
    loss, wanted, sample = gradients(adapted, bins, reference=True)
    fast_loss, found, fast_sample = gradients(adapted, bins)
    assert fast_loss == pytest.approx(loss, rel=1e-6)
    assert worst(found, wanted)[0] < 1e-5
    for name, parameter in adapted.parameters().items():
        assert found[name].dtype is parameter.dtype is torch.float32
    if sample is None:
        assert fast_sample is None
        return
    assert fast_sample.counts == sample.counts
    assert fast_sample.domains == sample.domains
    assert fast_sample.layer_domains == sample.layer_domains
    assert fast_sample.tokens == sample.tokens
    assert fast_sample.balance_loss == pytest.approx(sample.balance_loss, rel=1e-6)
    assert fast_sample.token_entropy == pytest.approx(sample.token_entropy, rel=1e-5)
    for mine, theirs in zip(fast_sample.gate_mass, sample.gate_mass, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_in_double_precision_they_agree_to_ten_digits(build, family: str, choices: dict) -> None:
    adapted = exact(build(family, balance_weight=0.5, **choices))
    bins = [pack(conversations(5), padding=3)]
    loss, wanted, _ = gradients(adapted, bins, reference=True)
    fast_loss, found, _ = gradients(adapted, bins)
    assert fast_loss == pytest.approx(loss, rel=1e-12)
    assert worst(found, wanted)[0] < 1e-10


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_equal_those_of_transformers_with_peft(family: str) -> None:
    from peft import LoraConfig, get_peft_model

    spec = AdapterSpec(mode="lora", rank=4, alpha=8.0)
    adapted = spread(attach(tiny(family), spec))
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=[*ATTENTION, *FFN], task_type="CAUSAL_LM")
    peft = get_peft_model(tiny(family), config)
    theirs: dict[str, nn.Parameter] = {}
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            theirs["layers." + name.split(".layers.")[1].replace(".default.weight", "")] = parameter
    for name, parameter in adapted.parameters().items():
        theirs[name].data.copy_(parameter.detach())
    made = conversations(5)
    packed = pack(made)
    _, found, _ = gradients(adapted, [packed])
    # One conversation at a time: nothing here depends on how transformers packs.
    for one in made:
        logits = peft(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0]
        rows = nn.functional.cross_entropy(logits[:-1], torch.tensor(one.ids[1:]), reduction="none")
        (rows[one.masked - 1 :].sum() / packed.targets).backward()
    assert worst(found, {name: theirs[name].grad for name in found})[0] < 1e-5


def test_a_packed_step_is_the_sum_of_its_conversations(build) -> None:
    adapted = exact(build(balance_weight=0.5))
    made = conversations(6)
    loss, wanted, sample = gradients(adapted, [pack([one]) for one in made])
    packed_loss, found, packed_sample = gradients(adapted, [pack(made)])
    assert packed_loss == pytest.approx(loss, rel=1e-12)
    assert worst(found, wanted)[0] < 1e-10
    assert packed_sample.counts == sample.counts


@pytest.mark.parametrize("choices", [{}, {"mode": "lora"}], ids=str)
def test_recomputed_layers_give_the_same_bits_and_count_once(build, choices: dict) -> None:
    plain, again = (build(balance_weight=0.5, **choices) for _ in "12")
    enable_recompute(again)
    bins = [pack(conversations(5)), pack(conversations(4, seed=1))]
    assert again.compute.recompute
    loss, wanted, sample = gradients(plain, bins)
    other, found, counted = gradients(again, bins)
    assert other == loss
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert counted == sample


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("override", [None, Uniform(), Forced(1), Ablated(2)], ids=str)
def test_evaluation_equals_the_references(build, family: str, override: object) -> None:
    adapted: Adapted = build(family)
    packed = pack(conversations(6), padding=3)
    scores, samples = [], []
    for way in (adapted.compute.on_reference(), nullcontext()):
        with way, nullcontext() if override is None else adapted.routing.overridden(override):
            scores.append(evaluate_bin(adapted, packed))
        samples.append(adapted.routing.sample_evaluation())
    assert torch.allclose(scores[1].nll, scores[0].nll, rtol=1e-5)
    for field in ("targets", "domains", "assignments"):
        assert torch.equal(getattr(scores[1], field), getattr(scores[0], field))
    assert (samples[1] is None) == (override is not None)
    assert samples[0] is None or samples[1].layer_domains == samples[0].layer_domains


def test_a_step_of_the_optimizer_reaches_the_copies(build) -> None:
    """The fused AdamW moves parameters without counting their versions: nothing may be kept on the strength of that."""
    for choice in ({"foreach": True}, {"fused": True}, {}):
        adapted: Adapted = build()
        optimizer = torch.optim.AdamW(adapted.parameters().values(), lr=0.05, **choice)
        bins = [pack(conversations(5))]
        for _ in range(2):
            gradients(adapted, bins)
            optimizer.step()
            loss, wanted, _ = gradients(adapted, bins, reference=True)
            fast_loss, found, _ = gradients(adapted, bins)
            assert fast_loss == pytest.approx(loss, rel=1e-6)
            assert worst(found, wanted)[0] < 1e-5


def test_a_model_that_moved_or_was_cast_is_merged_again(build) -> None:
    adapted: Adapted = build()
    packed = pack(conversations(4))
    before = float(forward_loss(adapted, packed).detach())
    adapted.model.double()
    assert float(forward_loss(adapted, packed).detach()) == pytest.approx(before, rel=1e-6)
    adapted.model.float()
    assert float(forward_loss(adapted, packed).detach()) == pytest.approx(before, rel=1e-6)
    with adapted.compute.on_reference():
        assert float(forward_loss(adapted, packed).detach()) == pytest.approx(before, rel=1e-6)
