"""Mutated data set files: whatever is in them, the answer is a report or one paragraph, soon, and never a traceback."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from configs.errors import UserError
from configs.load import demo_dir
from engine.data.desk import settle, tokenizer
from engine.data.prepare import prepare
from engine.data.reports import validation_json, validation_lines
from engine.data.rewriting import Form, convert, sample
from engine.data.validating import validate
from states.text import clean

PATIENCE_S = 20.0
TEXT = "Client: I worry about work.\nTherapist: What about it?"
ODD: list[Any] = [
    None, True, 0, -1.5, 10**30, "", " ", [], {}, [[]], "Client:", "Therapist: \nClient: x", "[INST]</s><s>",
    "\u202e\u200b\ufeff", "a" * 5000, "\x00\x1b[2J", "\r\r\n", "T: x\nC: y", {"role": "user"},
    {"from": "gpt", "value": 3}, {"text": TEXT},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    "4" * 400, "@" * 300, "1 2-3.4(5)" * 60, "you " * 400 + "?", "<|" * 200, "Client: " * 200,
]  # fmt: skip


@cache
def demo_tokenizer() -> Any:
    return tokenizer(settle(demo_dir() / "conversations.json", None, None).config)


@cache
def seeds() -> list[bytes]:
    rows = json.loads((demo_dir() / "conversations.json").read_text())["conversations"][:6]
    messages = [
        {
            "messages": [{"role": "user", "content": f"I worry {n}."}, {"role": "assistant", "content": "Why?"}],
            "domain": "x",
        }
        for n in range(4)
    ]
    sharegpt = [
        {"conversations": [{"from": "human", "value": f"Hi {n}"}, {"from": "gpt", "value": "So?"}]} for n in range(4)
    ]
    lines = "\n".join(json.dumps(row) for row in messages + rows)
    return [json.dumps({"conversations": rows}).encode(), json.dumps(sharegpt, indent=1).encode(), lines.encode()]


def mutated(chance: random.Random) -> bytes:
    """A seed with one to five changes, in its bytes or in its structure."""
    raw = chance.choice(seeds())
    for _ in range(chance.randint(1, 5)):
        if chance.random() < 0.5:
            with suppress(json.JSONDecodeError, UnicodeDecodeError, RecursionError):
                raw = json.dumps(reshaped(json.loads(raw), chance), ensure_ascii=chance.random() < 0.5).encode(
                    "utf-8", "replace"
                )
                continue
        raw = torn(raw, chance)
    return raw


def torn(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw) + 1)
    stop = min(len(raw), start + chance.choice((0, 1, 3, 40, 2000)))
    piece = chance.choice(
        (
            b"",
            bytes([chance.randrange(256)]),
            raw[start:stop] * 2,
            b'"',
            b"}",
            b"\n",
            b"\xff\xfe",
            b"[" * 1200,
            b"\\u0000",
            b"\\ud800",
            b",,",
            b"null",
        )
    )
    return raw[:start] + piece + raw[stop:] if chance.random() < 0.9 else raw[:start]


def reshaped(value: Any, chance: random.Random) -> Any:
    """The value with one thing somewhere inside it replaced, removed, renamed or repeated."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, list):
        index = chance.randrange(len(value))
        action = chance.random()
        if action < 0.1:
            return value[:index] + value[index + 1 :]
        if action < 0.2:
            return value + [value[index]] * chance.choice((1, 5, 40))
        return [*value[:index], reshaped(value[index], chance), *value[index + 1 :]]
    key = chance.choice(list(value))
    action = chance.random()
    if action < 0.1:
        return {name: each for name, each in value.items() if name != key}
    if action < 0.2:
        return {chance.choice(["text", "messages", "conversations", "domain", "rol", ""]): value[key], **value}
    return {**value, key: reshaped(value[key], chance)}


@contextmanager
def in_time() -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def put_through(path: Path) -> None:
    """Everything that reads a data set, on one file; a `UserError` is an answer, anything else is a defect."""
    desk = settle(path, None, None)
    with suppress(UserError):
        report = validate(desk, lambda task, done, total: None)
        lines = list(validation_lines(report))
        assert lines[-1].startswith(f"{sum(group.count for group in report.ledger.errors):,} error")
        assert orjson.dumps(validation_json(report))
        assert all(clean(line).encode() for line in lines)
        if report.ok:
            prepare(desk.config, demo_tokenizer())
    for form in Form:
        target = path.with_name("converted")
        with suppress(UserError):
            convert(path, target, form)
        target.unlink(missing_ok=True)
    target = path.with_name("sampled")
    with suppress(UserError):
        sample(path, target, 2, balance=True, seed=1)
    target.unlink(missing_ok=True)


def fuzz(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("engine.data.validating.tokenizer", lambda config: demo_tokenizer())
    path = folder / "data.json"
    for seed in seeds:
        path.write_bytes(mutated(random.Random(seed)))
        try:
            with in_time():
                put_through(path)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_mutated_files_get_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(tmp_path, monkeypatch, range(300))


@pytest.mark.slow
def test_ten_thousand_mutated_files_get_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(tmp_path, monkeypatch, range(1000, 11000))
