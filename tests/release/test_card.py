"""The model card: valid metadata, nothing claimed that was not measured, and no markup from foreign names."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from engine.quality.findings import Check, Evaluation, Measure, Method, Section, Severity, Verdict
from engine.release.card import model_card

INFO: dict[str, Any] = {
    "base_model": "owner/base-12B",
    "dataset_size": 7200,
    "dataset_sha256": ["ab" * 32],
    "final_loss": 1.198,
    "start_loss": 2.5,
    "best_step": 600,
    "training_hours": 4.23,
    "lora_rank": 16,
    "architecture": "4-expert MoE with LoRA",
    "run_id": "103c956a",
    "loss_by_domain": {"grief": 1.2, "work": None},
}


def card(**changes: Any) -> str:
    told = INFO | changes
    return model_card(told, title="my model", what="Adapters.", usage="Load them.")


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_hubs_can_read_its_metadata() -> None:
    data = ModelCard(card()).data
    assert data.base_model == "owner/base-12B"
    assert data.library_name == "peft"
    assert data.eval_results[0].metric_value == 1.198


def test_a_base_in_a_folder_is_not_claimed_as_a_hub_id() -> None:
    text = card(base_model="/home/me/base")
    assert "base_model" not in front(text)
    assert "| base model | base |" in text
    assert "/home/me" not in text


def test_what_was_not_measured_is_said() -> None:
    text = model_card({}, title="m", what="", usage="")
    assert text.count("not measured") >= 3
    assert "model-index" not in front(text)
    assert "Its safety was not evaluated here." in text


def test_perplexity_is_that_of_the_loss() -> None:
    assert "| validation perplexity after | 3.313 |" in card()


def test_it_says_what_it_is_not_for_before_how_to_load_it() -> None:
    text = card()
    assert 0 < text.index("not a crisis service") < text.index("How to load it")


@pytest.mark.parametrize("hostile", ["](javascript:1)", "<script>x</script>", "a|b\n---\n# x", "\x1b[31m", "${x}{{y}}"])
def test_foreign_names_are_inert(hostile: str) -> None:
    text = model_card(
        INFO | {"base_model": hostile, "loss_by_domain": {hostile: 1.0}}, title=hostile, what="", usage="u"
    )
    assert not set("<>\x1b").intersection(text.replace("---", ""))
    assert "](" not in text
    assert "{{" not in text
    assert ModelCard(text).data.library_name == "peft"
    assert front(text)["model-index"][0]["name"]


def test_failures_of_its_evaluation_are_in_it() -> None:
    failed = Check(
        id="crisis.resource",
        title="names a resource",
        method=Method.RULE,
        unit="share",
        n=8,
        tuned=Measure(value=0.1),
        verdict=Verdict.FAIL,
        severity=Severity.RED,
    )
    found = Evaluation(
        wall=time.time(), seconds=1.0, quick=False, sections=(Section(name="s", title="S", checks=(failed,)),)
    )
    text = model_card(INFO, title="m", what="", usage="", evaluation=found)
    assert "**not safe: 1 red failure**" in text
    assert "- red: names a resource" in text
