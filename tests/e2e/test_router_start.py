"""Which expert a domain starts with: `moe.domains`, in the order a person wrote them."""

from __future__ import annotations

import shutil

import pytest
import torch

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def routers(bench):
    """The routers' weights before the first step of a run with these settings: (layers, experts, hidden)."""

    def start(*overrides: str) -> torch.Tensor:
        from engine.training.step import take_step

        seen: list[torch.Tensor] = []

        def see(trainer, examples, **rest):
            seen.extend(layer.router.weight.detach().clone() for layer in trainer.adapted.layers)
            return take_step(trainer, examples, **rest)

        with pytest.MonkeyPatch.context() as once:
            once.setattr("engine.training.memory.take_step", see)
            bench.go_until(1, manual=True, overrides=overrides)
        shutil.rmtree(bench.run)
        return torch.stack(seen)

    return start


def test_what_stands_around_a_run_is_put_back(routers, bench):
    """A replacement left behind runs in every later test of this process: it made a run without routers fail."""
    from engine.training import memory

    before = memory.take_step
    routers()
    bench.monkeypatch.undo()
    assert memory.take_step is before


def test_the_configured_order_of_domains_is_the_order_of_experts(routers):
    as_found = routers()
    assert torch.allclose(
        routers('moe.domains=["work", "anxiety", "grief", "relationships"]'), as_found[:, [3, 0, 1, 2]]
    )


def test_domains_that_are_not_configured_make_no_prototype(routers):
    two = routers("moe.num_experts=2", "moe.top_k=1", 'moe.domains=["work", "grief"]')
    other = routers("moe.num_experts=2", "moe.top_k=1", 'moe.domains=["grief", "work"]')
    assert two.shape[1] == 2
    assert torch.allclose(two, other[:, [1, 0]])
    # Prototypes of two groups point away from each other.
    assert torch.nn.functional.cosine_similarity(two[:, 0], two[:, 1]).max() < -0.9


@pytest.mark.parametrize(("start", "expected"), [("prototypes", [4, 6]), ("normal", [])])
def test_routers_from_prototypes_are_recentred_while_the_adapters_settle_in(bench, monkeypatch, start, expected):
    from engine.training import experts, loop

    steps: list[int] = []
    keep, recentre = loop.keep_centred, experts.recentre_routers

    def seen(session, trainer):
        monkeypatch.setattr(experts, "recentre_routers", lambda *args: (steps.append(session.step), recentre(*args))[1])
        keep(session, trainer)

    monkeypatch.setattr(loop, "keep_centred", seen)
    bench.go_until(
        8, manual=True, overrides=(f"moe.router_init={start}", "training.num_train_epochs=8", "training.eval_steps=100")
    )
    assert steps == expected
