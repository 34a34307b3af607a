"""The routing section: what is planted in the routers is what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.model.adapters import Adapted
from engine.model.routed import open_routed
from engine.quality.bench import Bench
from engine.quality.findings import Section, Verdict
from engine.quality.routes import _balance, declared, routes
from engine.quality.specialisation import Assignments

MakeBench = Callable[..., Bench]


@pytest.fixture
def own(finished_run: Any, bench: MakeBench) -> Bench:
    """A bench with a model of its own, which a test may change."""
    adapted, _ = open_routed(finished_run, domains=bench().held.domains)
    return bench(adapted=adapted)


def send_all_to(adapted: Adapted, expert: int) -> None:
    """Let every router choose one expert first, whatever it reads."""
    chosen = torch.zeros(4)
    chosen[expert] = 50.0

    def always(self: Any, x: torch.Tensor) -> torch.Tensor:
        return chosen.softmax(-1).expand(x.shape[0], 4).contiguous()

    for layer in adapted.layers:
        assert layer.router is not None
        layer.router.probabilities = always.__get__(layer.router)  # type: ignore[method-assign]


def told(bench: Bench) -> Section:
    (section,) = routes(bench)
    return section


def test_shares_are_of_all_tokens_by_domain(bench: MakeBench) -> None:
    found = told(bench())
    shares = next(table for table in found.tables if table.title == "Share of tokens by domain")
    assert [row[0] for row in shares.rows] == ["anxiety", "grief", "relationships", "work", "all"]
    for row in shares.rows:
        assert sum(float(cell) for cell in row[1:] if cell is not None) == pytest.approx(1.0)
    layers = next(table for table in found.tables if table.title == "The same by layer")
    assert len(layers.rows) == 2 * 4


def test_forced_routing_shows(own: Bench) -> None:
    before = told(own)
    own.adapted.routing.top_k = 1
    own.adapted.compute.reference = True
    send_all_to(own.adapted, 2)
    del own.__dict__["scored"]
    found = told(own)
    shares = next(table for table in found.tables if table.title == "Share of tokens by domain")
    assert [row[1:] for row in shares.rows] == [(0.0, 0.0, 1.0, 0.0)] * 5
    check = {one.id: one for one in found.checks}
    assert check["routing.largest"].verdict is Verdict.FAIL
    assert check["routing.information"].tuned is not None
    assert check["routing.information"].tuned.value == pytest.approx(0.0, abs=1e-9)
    assert "no more than chance" in check["routing.information"].note
    forced = next(table for table in found.tables if "alone" in table.title)
    for row in forced.rows:
        name, routed, _average, *alone = row
        assert alone[2] == pytest.approx(routed, abs=1e-4), f"{name}: the forced expert is the routed model"
        assert alone[0] != pytest.approx(routed, abs=1e-5)
    assert before.checks[0].tuned != check["routing.largest"].tuned


@pytest.mark.parametrize(("experts", "wanted"), [(2, ("60%", "40%")), (4, ("30%", "20%")), (8, ("15%", "10%"))])
def test_balance_is_measured_against_an_even_share_of_that_many_experts(experts: int, wanted: tuple[str, str]) -> None:
    even = Assignments(counts=torch.full((2, 3, experts), 10), domains=torch.zeros(3, dtype=torch.int64))
    largest, smallest = _balance(even)
    assert (largest.verdict, smallest.verdict) == (Verdict.PASS, Verdict.PASS)
    assert (largest.threshold, smallest.threshold) == (f"at most {wanted[0]}", f"at least {wanted[1]}")


def test_conversations_led_by_their_domains_expert_are_counted(own: Bench) -> None:
    meant = declared(own)
    assert meant is not None
    assert list(meant.experts) == ["anxiety", "grief", "relationships", "work"]
    own.adapted.routing.top_k = 1
    own.adapted.compute.reference = True
    send_all_to(own.adapted, 0)
    check = next(one for one in told(own).checks if one.id == "routing.correct")
    assert check.tuned is not None
    assert (check.tuned.value, check.n) == (0.25, 4), "one domain in four is led by expert 0"


def test_without_a_declaration_nothing_is_called_correct(own: Bench) -> None:
    assert own.subject.config is not None
    moe = own.subject.config.moe.model_copy(update={"domains": ("grief", "work")})
    own.subject = replace(own.subject, config=own.subject.config.model_copy(update={"moe": moe}))
    assert declared(own) is None
    own.subject = replace(own.subject, config=None)
    assert declared(own) is None
    assert "routing.correct" not in {one.id for one in told(own).checks}


def test_an_examination_that_was_stopped_says_so(bench: MakeBench) -> None:
    made = bench()
    assert made.scored.loss > 0
    made.stop = lambda: True
    found = told(made)
    assert found.unfinished == "interrupted"
    assert [table.title for table in found.tables] == ["Share of tokens by domain", "The same by layer"]


def test_a_plain_lora_is_evaluated_without_experts(finished_run: Any, bench: MakeBench) -> None:
    from engine.model.adapters import attach
    from engine.model.load import load_base
    from engine.model.routed import read_json
    from engine.model.spec import AdapterSpec
    from engine.quality.perplexity import perplexity

    folder = Path(read_json(finished_run / "adapter_config.json")["base_model_name_or_path"])
    base = load_base(folder, dtype=torch.float32, device=torch.device("cpu"))
    made = bench(adapted=attach(base, AdapterSpec(mode="lora", rank=4, alpha=8.0)))
    found = told(made)
    assert "without experts" in found.caveat
    assert found.checks == found.tables == ()
    (section,) = perplexity(made)
    loss = next(check for check in section.checks if check.id == "perplexity.loss")
    assert loss.tuned is not None
    assert loss.tuned == loss.base, "an adapter at its start is the base"
    assert made.tuned.replies([made.held.conversations[0].turns[:1]], max_tokens=3)[0].shares == ()
