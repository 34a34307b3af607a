"""What a finished run says of its experts: in the journal, in model_info.json and in the model card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.spec import AdapterSpec
from engine.quality.account import routing_info, routing_text
from engine.run.journal import read
from engine.run.rundir import RunDir
from states.events import ExpertsExamined, ExpertsSampled
from states.reducer import fold

EXAMINED = ExpertsExamined(
    step=9,
    conversations=12,
    of_conversations=60,
    tokens=900,
    targets=400,
    examine_s=1.0,
    routed=1.25,
    average=1.5,
    forced=(1.5, 1.75),
    routed_domains={"grief": 1.2},
    average_domains={"grief": 1.4},
    forced_domains={"grief": (1.5, None)},
    mutual_information=0.2,
    permuted_mean=0.05,
    permuted_p99=0.1,
    permutations=1000,
)


def test_a_finished_run_examined_its_experts_once(finished_run: Path) -> None:
    records = list(read(RunDir(finished_run).events))
    (examined,) = [record.event for record in records if isinstance(record.event, ExpertsExamined)]
    assert examined.routed is not None
    assert len(examined.forced) == len(examined.ablated) == 4
    assert len(examined.norms) == 2
    assert all(len(layer) == 4 and min(layer) > 0 for layer in examined.norms)
    assert examined.permutations == 1000
    assert fold(records).examination is not None
    samples = [record.event for record in records if isinstance(record.event, ExpertsSampled)]
    assert {sample.source for sample in samples} == {"train", "eval"}
    assert all(sum(layer) == pytest.approx(1.0) for sample in samples for layer in sample.gate_mass)


def test_its_artefacts_say_where_routing_is_active_and_what_the_gap_is(finished_run: Path) -> None:
    records = read(RunDir(finished_run).events)
    (examined,) = [record.event for record in records if isinstance(record.event, ExpertsExamined)]
    info = json.loads((finished_run / "model_info.json").read_text())["routing"]
    assert info["active"] is True
    assert info["gap"] == pytest.approx(examined.average - examined.routed)
    assert info["forced_loss"] == pytest.approx(list(examined.forced))
    assert "inactive" in info["artefacts"]["adapter_model.safetensors"]
    card = (finished_run / "README.md").read_text()
    assert f"{examined.routed:.4f} routed, {examined.average:.4f} as the average" in card
    assert "routing is not active" in card
    assert "expert 3 alone" in card


def test_what_was_not_measured_is_said_to_be_unmeasured() -> None:
    spec = AdapterSpec(num_experts=2)
    assert routing_info(spec, None)["gap"] is None
    assert "was not measured" in routing_text(spec, None)
    assert "was not measured" in routing_text(spec, replace(EXAMINED, average=None))
    plain = AdapterSpec(mode="lora")
    assert routing_info(plain, None)["active"] is False
    assert "no routing" in routing_text(plain, None)


def test_the_card_does_not_claim_more_than_chance() -> None:
    spec = AdapterSpec(num_experts=2)
    assert "more than chance" in routing_text(spec, EXAMINED)
    assert "no more than chance" in routing_text(spec, replace(EXAMINED, mutual_information=0.1))
    assert "no more than chance" not in routing_text(spec, EXAMINED)
    assert "| grief | 1.2000 | 1.4000 | 1.5000 | - |" in routing_text(spec, EXAMINED)


def test_a_domain_name_cannot_break_the_cards_table() -> None:
    hostile = "x|y\n# [click](javascript:1) <b>"
    text = routing_text(AdapterSpec(num_experts=2), replace(EXAMINED, forced_domains={hostile: (1.0, 2.0)}))
    row = text.splitlines()[-1]
    assert row.count("|") == 6
    assert not set("[]<>()").intersection(row)
