"""The whole model, loss and every gradient, against textbook token dispatch with the balance loss written out.

The reference sees one conversation at a time, without packing, padding, recompute or injected gradients.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.models.mistral.modeling_mistral import MistralRMSNorm

from engine.model.adapters import Adapted
from engine.model.experts import ExpertLinear, ExpertMlp
from engine.model.forward import forward_loss, valid_tokens
from engine.model.recompute import enable_recompute
from engine.model.router import Router
from engine.model.routing import Routing
from engine.model.spec import AdapterSpec
from tests.model.conftest import Conversation, conversations, pack

WEIGHT, RAMP = 0.5, 0.25
USAGE = torch.tensor([0.4, 0.3, 0.2, 0.1])


@pytest.fixture(autouse=True)
def _exact_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers takes its norms in float32 whatever the model's precision; 1e-10 can only be seen without that."""

    def forward(self: MistralRMSNorm, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon))

    monkeypatch.setattr(MistralRMSNorm, "forward", forward)


def dispatched(x: torch.Tensor, linear: ExpertLinear, kept: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Gather each expert's tokens, multiply, scatter back."""
    out = functional.linear(x, linear.base.weight, linear.base.bias)
    for expert in range(linear.num_experts):
        token, slot = torch.where(chosen == expert)
        a = linear.lora_A if linear.shared else linear.lora_A[expert]
        y = linear.scale * kept[token, slot, None] * (x[token] @ a.t() @ linear.lora_B[expert].t())
        out = out.index_add(0, token, y)
    return out


def by_dispatch(adapted: Adapted, top_k: int) -> list[torch.Tensor]:
    """Make every MLP of the model dispatch tokens; the list is filled with each forward's router probabilities."""
    seen: list[torch.Tensor] = []
    for layer in adapted.layers:
        mlp = layer.block.mlp
        assert isinstance(mlp, ExpertMlp)

        def forward(x: torch.Tensor, mlp: ExpertMlp = mlp) -> torch.Tensor:
            rows = x.reshape(-1, x.shape[-1])
            p = functional.softmax(rows @ mlp.router.weight.t(), dim=-1)
            seen.append(p)
            kept, chosen = p.topk(top_k, dim=-1)
            kept = kept / kept.sum(-1, keepdim=True)
            gate, up = (dispatched(rows, linear, kept, chosen) for linear in (mlp.gate_proj, mlp.up_proj))
            return dispatched(functional.silu(gate) * up, mlp.down_proj, kept, chosen).view(x.shape)

        mlp.forward = forward  # type: ignore[method-assign]
    return seen


def textbook(adapted: Adapted, top_k: int, made: list[Conversation]) -> tuple[float, dict[str, torch.Tensor]]:
    """Mean NLL over all targets plus the balance loss of each layer, formed as written, and its gradients."""
    seen = by_dispatch(adapted, top_k)
    targets = sum(len(one.ids) - one.masked for one in made)
    nll = torch.zeros((), dtype=torch.float64)
    for one in made:
        logits = adapted.model(torch.tensor([one.ids]), use_cache=False).logits[0]
        nll = nll + functional.cross_entropy(
            logits[one.masked - 1 : -1], torch.tensor(one.ids[one.masked :]), reduction="sum"
        )
    balance = torch.zeros((), dtype=torch.float64)
    layers = len(adapted.layers)
    for index in range(layers):
        p = torch.cat(seen[index::layers])
        balance = balance + WEIGHT * RAMP * 4 * (USAGE.double() * p.mean(0)).sum()
    (nll / targets + balance).backward()
    return float(nll.detach() / targets), {name: p.grad for name, p in adapted.parameters().items()}


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_loss_and_all_gradients_equal_token_dispatch(build, experts: str, top_k: int, recompute: bool) -> None:
    choices = {"double": True, "experts": experts, "top_k": top_k, "balance_weight": WEIGHT}
    made = conversations(6)
    loss, gradients = textbook(build(**choices), top_k, made)
    targets = sum(len(one.ids) - one.masked for one in made)
    cuts = {
        "packed": [pack(made)],
        "padded": [pack(made, padding=11)],
        "two bins, one padded": [pack(made[:2], padding=3), pack(made[2:])],
        "unpacked": [pack([one]) for one in made],
    }
    for cut, bins in cuts.items():
        adapted: Adapted = build(**choices)
        adapted.routing.usage.copy_(USAGE)
        if recompute:
            enable_recompute(adapted)
        adapted.routing.begin_step(sum(valid_tokens(one) for one in bins), ramp=RAMP)
        total = 0.0
        for one in bins:
            part = forward_loss(adapted, one, scale=1 / targets)
            part.backward()
            total += float(part.detach())
        assert total == pytest.approx(loss, abs=1e-10), cut
        for name, expected in gradients.items():
            got = adapted.parameters()[name].grad
            assert got.dtype is torch.float64
            assert (got - expected).abs().max() < 1e-10, (cut, name)


class Swiglu(nn.Module):
    """A feed-forward block small enough for numerical gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.act_fn = nn.SiLU()
        self.gate_proj, self.up_proj = nn.Linear(5, 6, bias=False), nn.Linear(5, 6, bias=False)
        self.down_proj = nn.Linear(6, 5, bias=False)


@pytest.mark.parametrize("top_k", [1, 2, 4])
@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_the_block_passes_gradcheck_in_its_input_experts_and_router(experts: str, top_k: int) -> None:
    spec = AdapterSpec(experts=experts, top_k=top_k, rank=2, alpha=4.0)  # type: ignore[arg-type]
    torch.manual_seed(0)
    routing = Routing(spec, 1, torch.device("cpu"))
    mlp = ExpertMlp(Swiglu(), Router(5, 0, routing, torch.device("cpu")), spec, "mlp").double()
    trained = [parameter for name, parameter in mlp.named_parameters() if "base" not in name]
    with torch.no_grad():
        for parameter in trained:
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: mlp(x), (x, *trained))
