"""`run.py plan` in the document's own situation: numbers that anyone can work out again by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path

import orjson
import pytest

from engine.data.prepare import read_sources

DOCUMENT = ("--config", "wayfarer-12b-h100")
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ro", "su", "ta", "ve", "wi", "zu")
HOUR = 3600.0


@pytest.fixture(scope="module")
def eight_thousand(tmp_path_factory) -> Path:
    """8,000 conversations of 2,000 characters: 500 tokens of 4 characters each."""
    chance = random.Random(1)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 3))) for _ in range(4000)]

    def text() -> str:
        return " ".join(chance.choices(words, k=110))[:499].rstrip().ljust(499, "a") + "."

    rows = [
        {
            "text": "\n".join(f"{who}: {text()}" for who in ("Client", "Therapist", "Client", "Therapist")),
            "domain": ("anxiety", "grief", "relationships", "work")[index % 4],
        }
        for index in range(8000)
    ]
    path = tmp_path_factory.mktemp("document") / "training_dataset.json"
    path.write_text(json.dumps({"conversations": rows}))
    return path


@pytest.fixture(scope="module")
def read_once(eight_thousand):
    """The file is read once for all tests of it."""
    known = {}

    def read(config, progress):
        name = (config.training.dataset, config.training.eval_fraction, config.training.seed)
        if name not in known:
            known[name] = read_sources(config, progress)
        return known[name]

    return read


@pytest.fixture
def planned(typed, eight_thousand, read_once, monkeypatch, tmp_path):
    """Type `plan` for the document's situation: (exit code, the report as JSON)."""
    monkeypatch.setattr("engine.plan.outlook.read_sources", read_once)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def plan(*words: str):
        said = typed("plan", *DOCUMENT, "--dataset", eight_thousand, "--json", *words)
        return said.code, orjson.loads(said.out)

    return plan


def test_at_800_tokens_a_second_the_documents_run_fits_its_twelve_hours(planned):
    code, body = planned("--assume-tokens-per-s", "800", "--assume-memory-gb", "80")
    assert code == 0
    assert body["data"] == {
        "train_examples": 7_200,
        "train_tokens_per_epoch": 3_600_000,
        "eval_examples": 800,
        "eval_tokens": 400_000,
    }
    steps = body["steps"]
    assert (steps["total"], steps["per_epoch"], steps["tokens_per_step"]) == (675, 225, 16_000), "3 x 7,200 / 32"
    assert (steps["warmup"], steps["evaluations"], steps["eval_every"]) == (67, 10, 67)
    # 5% of 10.8 million tokens of work, at a third of the work for a token that is only read, in 10 evaluations.
    assert steps["eval_subset_tokens"] == 162_000
    time = body["time"]
    assert time["estimated_s"]["training"] == 10_800_000 / 800
    assert time["estimated_s"]["evaluation"] == pytest.approx((400_000 + 10 * 162_000) / 3 / 800)
    assert time["estimated_s"]["finalize"] == pytest.approx(
        # the last and the examination, of two such passes; the subset, as step 675 is not the 670th; two saves
        (3 * 400_000 + 162_000) / 3 / 800 + 2 * 19.7 + 1.0,
        abs=1.0,
    )
    assert 4.0 * HOUR < time["total_s"] < 4.6 * HOUR
    assert time["reserve_s"] == 0.5 * HOUR
    assert body["memory"]["total_bytes"] == pytest.approx(62e9, rel=0.01)
    assert body["fits"]


def test_at_100_tokens_a_second_it_is_adjusted_in_the_stated_order_until_it_fits(planned):
    code, body = planned("--assume-tokens-per-s", "100")
    assert code == 0
    assert body["fits"]
    assert body["time"]["total_s"] <= 12 * HOUR
    assert body["time"]["total_s"] > 11.5 * HOUR, "and the window is used"
    kinds = ["Evaluations every", "The profile fast instead of balanced: 2 of 3 epochs", "0.", "That is less than one"]
    assert all(change.startswith(kind) for change, kind in zip(body["changes"], kinds, strict=False))
    assert 180 <= body["steps"]["total"] < 225
    assert body["steps"]["warmup"] == body["steps"]["total"] // 10
    # 225 steps of 16,000 tokens would be 10 hours alone.
    assert "that gains 10h" in body["changes"][1]


def test_at_10_tokens_a_second_nothing_fits_and_what_would_is_said_and_true(planned):
    code, body = planned("--assume-tokens-per-s", "10")
    assert code == 2
    assert not body["fits"]
    (warning,) = body["warnings"]
    assert "even one step" in warning
    hours = float(warning.partition("more with --hours, ")[2].partition(" hours for all 675 steps")[0])
    assert hours > 300, "10.8 million tokens at 10 a second are 300 hours"
    assert planned("--assume-tokens-per-s", "10", "--hours", str(hours))[1]["fits"]
    size = int(warning.partition("dataset sample --size ")[2].partition("`")[0])
    # One epoch of a part: its training tokens, and four times its validation tokens at a third, in some 11 hours.
    assert 300 < size < 700
    assert f"{size:,} of the 8,000 conversations" in warning


def test_what_is_assumed_is_said(typed, eight_thousand, read_once, monkeypatch, tmp_path):
    monkeypatch.setattr("engine.plan.outlook.read_sources", read_once)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said = typed("plan", *DOCUMENT, "--dataset", eight_thousand)
    assert said.code == 0
    for words in (
        "judged by its name",
        "tokens are judged by the text",
        "There is no GPU here: planned for a card of 80.0 GB",
        "Total steps",
        "Window ends",
        "Warm-up takes 67 steps instead of 1,000",
    ):
        assert words in said.out
    assert said.out.isascii()
    # Where the run would lie is as long as it is.
    lines = [line.partition(" on the disk of ")[0] for line in said.out.partition("Changes")[0].splitlines()[4:]]
    assert max(map(len, lines)) <= 120


def test_a_small_card_recomputes_and_a_smaller_one_is_refused(planned):
    code, body = planned("--assume-tokens-per-s", "545", "--assume-memory-gb", "32")
    assert code == 0
    assert (body["memory"]["bin_tokens"], body["memory"]["recompute"]) == (2048, True)
    code, body = planned("--assume-tokens-per-s", "545", "--assume-memory-gb", "24")
    assert code == 2
    assert body["time"]["fits"]
    assert not body["memory"]["fits"]


def test_manual_adjusts_nothing_and_warns(planned):
    code, body = planned("--assume-tokens-per-s", "800", "--manual")
    assert code == 0
    assert body["changes"] == []
    assert (body["steps"]["warmup"], body["steps"]["eval_every"]) == (1000, 500)
    assert [warning.split()[0] for warning in body["warnings"]] == ["Warm-up", "The"]


def test_a_plan_makes_no_run_and_writes_only_where_it_is_told(typed, configured, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    config = configured()
    before = sorted(tmp_path.rglob("*"))
    said = typed("plan", "--config", config)
    assert said.code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "Selected profile: balanced" in said.out
    wrote = typed("plan", "--config", config, "--output", tmp_path / "plan.json", "--json")
    assert orjson.loads((tmp_path / "plan.json").read_bytes()) == orjson.loads(wrote.out)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--assume-tokens-per-s", "0"), "--assume-tokens-per-s 0"),
        (("--assume-memory-gb", "-3"), "--assume-memory-gb -3"),
        (("--hours", "1", "--deadline", "07:30"), "both set the window"),
        (("--dataset", "nowhere.json"), "nowhere.json"),
        (("--base-model", "./nowhere"), "nowhere"),
        (("--output", "."), "is a directory"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_paragraph(typed, configured, words, named):
    said = typed("plan", "--config", configured(), *words)
    assert said.code in (2, 3)
    assert named in said.err
    assert said.out == ""
    assert said.err.count("\n") == 1
