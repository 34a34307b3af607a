"""What waits for a card runs tiny on a CPU: the ceilings, the 12B job, and the arithmetic that both are told in."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roofline
import torch
import twelve_b
import twelve_b_worker
from shape_12b import TINY, WAYFARER, conversations, peak

from engine.data.batches import Steps
from engine.data.example import Example

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {"steps": 2, "warm": 1, "tiny": True, "layers": None}


def small(**switches: Any) -> dict[str, Any]:
    return asdict(twelve_b.Variant(name="it", bin_tokens=256, **switches))


@pytest.mark.parametrize("switches", [{}, {"experts": 0}, {"recompute": True}, {"reference": True}], ids=str)
def test_each_rung_of_the_ladder_runs_and_tells_speed_and_parts(switches: dict[str, Any]) -> None:
    found = twelve_b_worker.answer(small(**switches), SETTINGS, TINY, CPU)
    steps = Steps(conversations(TINY, 256), twelve_b_worker.PER_STEP, 0)
    assert found["tokens"] == sum(one.tokens for number in (1, 2) for one in steps.at(number))
    assert found["tokens_per_s"] > 0
    assert set(found["split"]) == {"forward", "backward", "optimizer", "other"}
    assert found["flops_per_s"] == pytest.approx(found["flops_per_token"] * found["tokens_per_s"])
    assert found["mfu"] is None, "a CPU has no share of a card's peak"


def test_experts_and_no_experts_train_different_parameters() -> None:
    trained = [
        twelve_b_worker.answer(small(experts=experts), SETTINGS, TINY, CPU)["trained_parameters"] for experts in (0, 4)
    ]
    assert trained[0] < trained[1]


def test_running_out_of_memory_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 9.00 GiB. Much more is said here.")

    monkeypatch.setattr(twelve_b_worker, "take_step", full)
    found = twelve_b_worker.answer(small(), SETTINGS, TINY, CPU)
    assert "out of memory" in found["failed"]
    assert "out of memory" in twelve_b.line("it", found)


@pytest.mark.slow
def test_the_ladder_is_told_and_written_from_processes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    arguments = ["--ladder", "--tiny", "--only", "fast", "--steps", "2", "--warm", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["twelve_b.py", *arguments])
    twelve_b.main()
    rows = json.loads(out.read_text())["rows"]
    assert rows["fast"]["tokens_per_s"] > 0
    assert "on CPU" in capsys.readouterr().out


def test_a_variant_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["twelve_b.py", "--ladder", "--only", "faster"])
    with pytest.raises(SystemExit, match="faster"):
        twelve_b.main()


def test_a_share_of_the_ceiling_is_told_where_there_is_one() -> None:
    assert twelve_b.shares({"flops_per_s": 300e12}, 600.0)["roofline_share"] == 0.5
    assert "roofline_share" not in twelve_b.shares({"flops_per_s": 300e12}, None)


def test_the_roofline_measures_every_product_there_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    found = roofline.measure(TINY, 64, CPU, 0.0, 0.0)
    told = [rate["name"] for rate in found["rates"] if rate["kind"] == "float32"]
    assert told == [
        *(f"{name} {way}" for name in WAYFARER.products for way in ("forward", "backward")),
        "one layer",
        "attention forward",
        "attention backward",
    ]
    assert all(rate["teraflops"] > 0 for rate in found["rates"])
    assert found["ceiling_teraflops"]["float32"] > 0
    assert found["copy_bytes_per_s"] > 0
    assert "one layer" in capsys.readouterr().out


def test_what_a_device_refuses_is_said_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    made = roofline.operands

    def refusing(*arguments: Any) -> Any:
        if "float8" in arguments:
            raise RuntimeError("scaled_mm is not supported here\nand a long tail")
        return made(*arguments)

    monkeypatch.setattr(roofline, "operands", refusing)
    found = roofline.measure(TINY, 64, CPU, 0.0, 0.0)
    assert found["refused"] == {"float8": "scaled_mm is not supported here"}
    assert found["copy_bytes_per_s"] > 0


def test_the_12b_token_costs_what_it_was_reckoned_to() -> None:
    # 11.576 thousand million values in products, 57 million of LoRA; one conversation whose tokens are all targets.
    ids = np.full(805, 5, dtype=np.int32)
    whole = Example(ids=ids, labels=ids, domain_index=-1, conversation=0)
    assert WAYFARER.layer_weights == 10_905_190_400
    assert WAYFARER.flops([whole], 57_016_320) / 805 == pytest.approx(47.4e9, rel=0.005)


def test_the_data_sheet_is_asked_for_known_cards_only() -> None:
    assert peak("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12
    assert peak("NVIDIA GeForce RTX 4090", "bfloat16") is None
