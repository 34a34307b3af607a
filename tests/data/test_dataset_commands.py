"""`dataset ...` as a person types it: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.load import demo_dir
from engine.data.desk import settle, tokenizer
from engine.data.example import NO_TARGET
from engine.data.formats import read
from engine.data.marking import MARKS, preview_lines
from engine.data.prepare import prepare
from engine.data.previewing import preview

Typed = Callable[..., Any]
GOOD = {"text": "Client: I worry about work.\nTherapist: What about it?", "domain": "worry"}
DEMO = demo_dir() / "conversations.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a configuration, so that the demo's settings count."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def test_validate_lists_every_problem_with_row_line_and_column(typed: Typed, here: Path) -> None:
    rows = [
        GOOD,
        {"text": 5},
        {"messages": [{"role": "usr", "content": "a"}, {"role": "assistant"}, 7]},
        "words",
        3,
        {"text": "Client: I cannot sleep.\nTherapist: Why?", "domain": ["x"]},
        {
            "messages": [
                {"role": "user", "content": "Hi you"},
                {"role": "assistant", "content": "Client: a\nTherapist: b"},
            ]
        },
    ]
    path = write(here / "bad.json", {"name": "conversations", "conversations": rows})
    said = typed("dataset", "validate", path, "--json")
    assert said.code == 3
    report = json.loads(said.out)
    assert not report["ok"]
    found = [(error["code"], error["row"], error["place"]) for error in report["errors"]]
    assert found == [("unreadable-row", row, "") for row in (2, 3, 3, 3, 4, 5, 6)] + [("both-roles", 7, "turn 2")]
    lines = path.read_text().splitlines()
    for error in report["errors"]:
        begins = lines[error["line"] - 1][error["column"] - 1 :]
        assert begins.startswith(("{", '"words"', "3")), error
    plain = typed("dataset", "validate", "--dataset", path)
    assert plain.code == 3
    for row in (2, 3, 4, 5, 6, 7):
        assert f"row {row} (" in plain.out
    assert "8 errors, 0 warnings of 0 kinds." in plain.out
    assert "read 7 -> parsed 2 -> kept 2 -> train 1 -> validation 1" in plain.out


def test_broken_lines_of_json_lines_are_problems_like_any_other(typed: Typed, here: Path) -> None:
    good = [json.dumps({"text": f"Client: I worry, {n}.\nTherapist: What about {n}?"}) for n in range(3)]
    path = write(here / "bad.jsonl", "\n".join(['{"text": oops}', good[0], '{"broken', good[1], "[1, 2", good[2]]))
    report = json.loads(typed("dataset", "validate", path, "--json").out)
    assert [(error["line"], error["code"]) for error in report["errors"]] == [
        (line, "unreadable-row") for line in (1, 3, 5)
    ]
    assert report["errors"][0]["column"] > 1
    assert report["waterfall"]["parsed"] == 3


@pytest.mark.parametrize("content", ["", "{", '{"conversations": 5}', "[]", "\x00\x01"])
def test_a_file_that_is_no_data_set_is_one_error(typed: Typed, here: Path, content: str) -> None:
    said = typed("dataset", "validate", write(here / "odd.json", content))
    assert said.code == 3
    assert "error unreadable-file" in said.out
    assert "1 error, 0 warnings" in said.out


def test_a_file_that_is_not_there_is_a_data_error(typed: Typed) -> None:
    for command in ("analyze", "validate"):
        said = typed("dataset", command, "nowhere.json")
        assert (said.code, said.out) == (3, "")
        assert "There is no data set at" in said.err
    assert typed("dataset", "validate", "a.json", "--dataset", "b.json").code == 2


def test_warnings_are_no_errors_and_are_counted_by_kind(typed: Typed, here: Path) -> None:
    rows = [{"text": f"Client: I worry, {n}, mail me at a{n}@example.org.\nTherapist: Hm."} for n in range(9)]
    said = typed("dataset", "validate", write(here / "data.json", rows))
    assert said.code == 0
    assert "warning email: Turns with an e-mail address: 9 (rows 1, 2, 3, 4, 5, ...)" in said.out
    assert "0 errors, 18 warnings of 2 kinds." in said.out
    assert "example.org" not in said.out


def test_what_cannot_be_checked_is_said(typed: Typed, here: Path) -> None:
    rows = [{"text": f"Client: I worry about {n}.\nTherapist: What about it?"} for n in range(9)]
    said = typed("dataset", "validate", write(here / "data.json", rows), "--base-model", "nobody/nothing")
    assert said.code == 0
    assert "note: Tokens and labels were not checked: " in said.out


def test_the_demo_is_valid_and_analyzed(typed: Typed) -> None:
    report = json.loads(typed("dataset", "validate", DEMO, "--json").out)
    assert report["ok"]
    facts = json.loads(typed("dataset", "analyze", DEMO, "--json").out)
    assert facts["conversations"] == len(read(DEMO))
    assert facts["tokens"]["total"] == report["waterfall"]["tokens"]
    assert facts["tokens"]["targets"] == report["waterfall"]["targets"]
    assert sum(bucket["count"] for bucket in facts["histogram"]) == facts["conversations"]
    assert sum(domain["targets"] for domain in facts["domains"].values()) == facts["tokens"]["targets"]
    training = facts["training"]
    assert training["steps_per_epoch"] == -(-training["examples"] // training["conversations_per_step"])
    assert training["steps"] == training["epochs"] * training["steps_per_epoch"]
    assert 0.5 < training["bin_fill"] <= 1


def test_analyze_draws_blocks_or_number_signs(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    said = typed("dataset", "analyze", DEMO)
    assert "\u2588" in said.out
    monkeypatch.setattr("engine.data.commands._can_print", lambda text: False)
    plain = typed("dataset", "analyze", DEMO)
    assert plain.out.isascii()
    assert "###" in plain.out


def test_preview_marks_exactly_the_tokens_that_carry_loss(typed: Typed) -> None:
    desk = settle(DEMO, None, None)
    tokens = tokenizer(desk.config)
    prepared = prepare(desk.config, tokens)
    for row in (3, 26, 41):
        [example] = [each for each in prepared.train if each.conversation == row]
        [seen] = json.loads(typed("dataset", "preview", DEMO, row, "--json").out)
        [member] = [each for each in seen["members"] if each["wanted"]]
        shown = [(token, piece["target"]) for piece in member["pieces"] for token in piece["ids"]]
        labelled = [False, *(label != NO_TARGET for label in example.labels[1:].tolist())]
        assert shown == list(zip(example.ids.tolist(), labelled, strict=True))
        assert (member["row"], member["targets"]) == (row, example.targets)
        said = typed("dataset", "preview", DEMO, row)
        assert (said.code, said.err) == (0, "")
        block = next(line for line in said.out.split("\n-- ") if "(this one)" in line)
        [conversation] = [each for each in read(DEMO) if each.row == row]
        marked = [piece.split(MARKS[1])[0] for piece in block.split(MARKS[0])[1:]]
        replies = [turn.text for turn in conversation.turns if turn.role == "therapist"]
        assert [each.removesuffix("</s>").strip() for each in marked] == replies


def test_preview_shows_the_bin_of_the_first_epoch_with_its_neighbours_apart() -> None:
    desk = settle(DEMO, None, None)
    _, [seen] = preview(desk, 400, lambda task, done, total: None)
    assert [member.row for member in seen.members if member.wanted] == [400]
    assert seen.members[0].start == 0
    for one, two in zip(seen.members, seen.members[1:], strict=False):
        assert two.start == one.start + one.tokens
    lines = list(preview_lines([seen], unit="row", colour=True, marks=MARKS))
    assert sum(line.startswith("-- row ") for line in lines) == len(seen.members)
    assert any("\x1b[32m" in line for line in lines)


def test_preview_lets_no_control_character_through(typed: Typed, here: Path) -> None:
    rows = [{"text": f"Client: I \x1b[31mworry {n}.\nTherapist: What\u202e about \x07it?"} for n in range(9)]
    out = "".join(typed("dataset", "preview", write(here / "data.json", rows), n).out for n in (1, 2, 3))
    assert "\\x1b[31m" in out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}


def test_preview_says_why_there_is_nothing_to_show(typed: Typed, here: Path) -> None:
    rows = [GOOD, GOOD, {"text": "Client: Nobody answers."}, {"text": "Client: And now?\nTherapist: Let us see."}]
    path = write(here / "data.json", rows)
    for row, why in ((2, "repeats an earlier one"), (3, "no therapist turn"), (9, "its last one is at row 4")):
        said = typed("dataset", "preview", path, row)
        assert (said.code, said.out) == (2, "")
        assert why in said.err


def test_a_sample_is_seeded_balanced_private_and_never_overwrites(typed: Typed, here: Path) -> None:
    rows = [
        {"text": f"Client: I worry, {n}.\nTherapist: What about {n}?", "domain": domain, "id": n}
        for n, domain in enumerate(["big"] * 60 + ["mid"] * 20 + ["low"] * 4)
    ]
    path = write(here / "data.json", {"conversations": rows})

    def draw(name: str, *more: object) -> list[dict[str, Any]]:
        said = typed("dataset", "sample", "--input", path, "--output", name, "--size", 24, *more)
        assert (said.code, said.err) == (0, "")
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600
        drawn: list[dict[str, Any]] = json.loads(Path(name).read_text())["conversations"]
        return drawn

    one, same, other = draw("a.json"), draw("b.json"), draw("c.json", "--seed", 7)
    assert one == same != other
    assert all(row in rows for row in one)
    balanced = draw("d.json", "--balance-domains")
    assert Counter(row["domain"] for row in balanced) == {"big": 10, "mid": 10, "low": 4}
    assert [row["id"] for row in balanced] == sorted(row["id"] for row in balanced)
    before = Path("a.json").read_bytes()
    refused = typed("dataset", "sample", "--input", path, "--output", "a.json", "--size", 2)
    assert refused.code == 2
    assert "already there" in refused.err
    assert Path("a.json").read_bytes() == before
    assert typed("dataset", "sample", "--input", path, "--output", "e.json", "--size", 99).code == 2
    assert sorted(each.name for each in here.iterdir()) == ["a.json", "b.json", "c.json", "d.json", "data.json"]


def test_conversion_comes_back_as_the_same_conversations(typed: Typed, here: Path) -> None:
    assert typed("dataset", "convert", DEMO, "--to", "messages", "--output", "m.jsonl").code == 0
    assert typed("dataset", "convert", "m.jsonl", "--to", "transcript", "--output", "t.json").code == 0
    bare = [(each.turns, each.domain) for each in read(DEMO)]
    for name in ("m.jsonl", "t.json"):
        assert [(each.turns, each.domain) for each in read(here / name)] == bare


def test_what_a_transcript_cannot_hold_is_refused_by_row(typed: Typed, here: Path) -> None:
    def messages(*said: str, system: str = "") -> dict[str, Any]:
        roles = ["system"] * bool(system) + ["user", "assistant"]
        return {
            "messages": [
                {"role": r, "content": c} for r, c in zip(roles, [*([system] * bool(system)), *said], strict=True)
            ]
        }

    rows = [messages("a", "b"), messages("x\nTherapist: y", "c"), messages("d", "e", system="Be kind.")]
    path = write(here / "data.json", rows)
    said = typed("dataset", "convert", path, "--to", "transcript", "--output", "t.json")
    assert (said.code, "rows 2, 3" in said.err) == (3, True)
    assert not (here / "t.json").exists()
    assert typed("dataset", "convert", path, "--to", "messages", "--output", "m.jsonl").code == 0
    assert [each.turns for each in read(here / "m.jsonl")] == [each.turns for each in read(path)]
    assert typed("dataset", "convert", path, "--to", "xml", "--output", "x").code == 2
