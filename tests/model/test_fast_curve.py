"""500 steps on the fast path and on the reference: the curves of their losses lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import torch

from engine.model.adapters import Adapted
from engine.model.forward import forward_loss, valid_tokens
from engine.model.prototypes import normal_routers
from tests.model.conftest import Conversation, pack
from tests.model.planted import by_domain, learner

STEPS, SIZE = 500, 8
WINDOW = 50
"""Steps in a mean: a router's near-tie that rounding decides otherwise moves single steps, not the curve."""


def curve(adapted: Adapted, made: Sequence[Conversation], *, reference: bool) -> torch.Tensor:
    """(steps,) mean loss of each step."""
    normal_routers(adapted, std=0.2)
    optimizer = torch.optim.AdamW(adapted.parameters().values(), lr=2e-3, weight_decay=0.0, fused=True)
    losses = []
    with adapted.compute.on_reference() if reference else nullcontext():
        for step in range(STEPS):
            picked = [made[(step * SIZE + i) % len(made)] for i in range(SIZE)]
            bins = [pack(picked[: SIZE // 2]), pack(picked[SIZE // 2 :])]
            targets = sum(one.targets for one in bins)
            adapted.routing.begin_step(sum(valid_tokens(one) for one in bins))
            total = 0.0
            for one in bins:
                loss = forward_loss(adapted, one, scale=1 / targets)
                loss.backward()
                total += float(loss.detach())
            optimizer.step()
            optimizer.zero_grad()
            adapted.routing.end_step()
            losses.append(total)
    return torch.tensor(losses)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lora", "moe"])
def test_five_hundred_steps_stay_within_half_a_percent_of_the_reference(mode: str) -> None:
    made = by_domain(640, seed=1)
    fast, wanted = (curve(learner(mode=mode), made, reference=reference) for reference in (False, True))
    assert wanted[-WINDOW:].mean() < 0.8 * wanted[:WINDOW].mean(), "it learns, so there is a curve to follow"
    apart = (fast.view(-1, WINDOW).mean(1) / wanted.view(-1, WINDOW).mean(1) - 1).abs().max()
    print(
        f"{mode}: loss {float(wanted[0]):.3f} to {float(wanted[-WINDOW:].mean()):.3f}, at most {float(apart):.2e} apart"
    )
    assert apart <= 0.005
