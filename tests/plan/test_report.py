"""What a person reads of a plan: the table, the report, and the configuration it starts from."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from configs.load import load, preset_dir
from engine.plan.estimate import make_plan
from engine.plan.profile import apply_profile
from engine.plan.report import report, table
from engine.plan.throughput import Costs
from engine.plan.workload import from_config
from states.events import DataPrepared

FACTS = DataPrepared(
    train_conversations=7_200,
    eval_conversations=800,
    train_tokens=3_600_000,
    train_targets=1_800_000,
    eval_targets=200_000,
    domains={},
)
COSTS = Costs(tokens_per_s=800.0, source="assumed", setup_s=480.0, save_s=8.0)


def preset_work(window_s: float | None = 12 * 3600.0):
    return from_config(load(preset_dir("wayfarer-12b-h100")), FACTS, eval_tokens=400_000, window_s=window_s)


def test_the_preset_asks_for_the_documents_run():
    work = preset_work()
    assert (work.conversations_per_step, work.steps, work.warmup_steps, work.eval_every) == (32, 675, 1000, 500)
    assert work.reserve_s == 1800.0
    assert preset_work(None).reserve_s == 0.0


def test_the_table_answers_the_documents_questions():
    work = preset_work()
    text = table(make_plan(work, COSTS), work, opened_wall=0.0)
    for line in (
        "Selected profile: balanced",
        "Effective batch size        32 conversations, about 16,000 tokens",
        "Throughput                  800 tokens/s (assumed; measured once the model is loaded)",
        "Total steps                 675 (3 epochs of 225)",
        "Training                      3h 45m     13,500 s",
        "Fits in the 12h 00m window  yes",
    ):
        assert line in text
    assert "Changes" in text
    assert text.isascii()


def test_the_report_is_plain_json_with_the_same_numbers():
    work = preset_work(3600.0)
    plan = make_plan(work, COSTS)
    body = orjson.loads(orjson.dumps(report(plan, work, opened_wall=100.0)))
    assert body["steps"]["total"] == plan.planned_steps
    assert body["time"]["completion_wall"] == 100.0 + plan.total_s
    assert body["changes"] == list(plan.changes)
    assert sum(body["time"]["phases_s"].values()) == pytest.approx(plan.total_s)
    assert body["memory"] is None


def written(folder: Path, **training: object) -> Path:
    (folder / "base").mkdir()
    (folder / "training_config.json").write_bytes(orjson.dumps({"base_model": "base", **training}))
    return folder


def test_a_profile_fills_in_what_nobody_stated(tmp_path):
    config = load(written(tmp_path, optimization_priority="memory_efficient"))
    settled, said = apply_profile(config)
    assert (settled.training.max_length, settled.training.bin_tokens) == (1024, 4096)
    assert settled.training.gradient_checkpointing
    assert said == ()


def test_a_stated_value_beats_the_profile_and_that_is_said(tmp_path):
    config = load(written(tmp_path, optimization_priority="memory_efficient", max_length=6000, bin_tokens=6000))
    settled, said = apply_profile(config)
    assert (settled.training.max_length, settled.training.bin_tokens) == (6000, 6000)
    assert any(sentence.startswith("max_length stays 6000, as stated at") for sentence in said)


def test_bins_never_end_below_the_longest_example(tmp_path):
    settled, _ = apply_profile(load(written(tmp_path, optimization_priority="memory_efficient", max_length=6000)))
    assert settled.training.bin_tokens >= settled.training.max_length


def test_balanced_changes_nothing(tmp_path):
    config = load(written(tmp_path))
    assert apply_profile(config) == (config, ())
