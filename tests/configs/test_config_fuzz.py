"""Mutated configuration files: each gets a configuration or one paragraph with its place, soon, never a traceback."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs.checks import advice
from configs.errors import ConfigError
from configs.identity import config_hash, from_resolved, resolved
from configs.load import PRESETS, load, preset_dir
from configs.schema import FILES

PATIENCE_S = 20.0
TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b"//", b"/*", b"*/", b"#", b"null", b"true", b"True", b"NaN",
    b"-Infinity", b"1e400", b"-1", b"0", b"0.0", b"9" * 400, b"1" + b"0" * 18, b"-9223372036854775809", b'"5"', b"[]",
    b"{}", b'"base_model"', b'"seed": 1, "seed": 2,', b'"$schema": 3,', b"\\u0000", b"\\ud800", b"\x00", b"\x1b[2J",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\r\n", b"\r", b"\t", "\u202e".encode(), "\u2028".encode(), b"[" * 70,
    b'{"a":' * 2000, b"/*" * 500, b'"' + b"a" * 5000 + b'"', b'"hf_' + b"a" * 36 + b'"', b"+1", b".5", b"0x10", b"1_0",
)  # fmt: skip


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """One to four changes of bytes, words, lines, values or the encoding."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(raw) + 1)
        stop = min(len(raw), start + chance.choice((0, 1, 1, 3, 20, 200)))
        match chance.randrange(9):
            case 0:
                raw = raw[:start] + bytes([chance.randrange(256)]) + raw[stop:]
            case 1 | 2:
                raw = raw[:start] + chance.choice(TOKENS) + raw[stop:]
            case 3:
                raw = raw[:start] + raw[start:stop] * chance.choice((0, 2, 50)) + raw[stop:]
            case 4:
                raw = raw[:start]
            case 5:
                lines = raw.split(b"\n")
                chance.shuffle(lines)
                raw = b"\n".join(lines + lines[: chance.choice((0, 1, 5))])
            case 6:
                values = list(re.finditer(rb"(?<=: )[^,\n{}]+", raw)) or [re.match(b"", raw)]
                value = chance.choice([each for each in values if each is not None])
                raw = raw[: value.start()] + chance.choice(TOKENS) + raw[value.end() :]
            case 7:
                keys = list(re.finditer(rb'"\w+"(?=:)', raw)) or [re.match(b"", raw)]
                one, other = (chance.choice([each for each in keys if each is not None]) for _ in range(2))
                raw = raw[: one.start()] + other[0] + raw[one.end() :]
            case 8:
                text = raw.decode("utf-8", "replace")
                raw = chance.choice(
                    (
                        text.encode("utf-16"),
                        text.encode("latin-1", "replace"),
                        b"\xef\xbb\xbf" + raw,
                        raw.replace(b"\n", b"\r\n"),
                        raw.replace(b"\n", b"\r"),
                        b"",
                        b" \n\t",
                        raw + raw,
                        b"[" + raw + b"]",
                    )
                )
    return raw


def planted(path: Path, chance: random.Random) -> None:
    """Something else than a file in a file's place."""
    path.unlink()
    match chance.randrange(5):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(path.name)
        case 2:
            other = path.with_name("other")
            other.unlink(missing_ok=True)
            other.symlink_to(path.name)
            path.symlink_to("other")
        case 3:
            path.symlink_to("nowhere")
        case 4:
            os.mkfifo(path)


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


def put_through(folder: Path) -> str | None:
    """Load, check and record a configuration; the complaint, or None where it is a sound one."""
    try:
        config = load(folder, environment={})
    except ConfigError as error:
        return error.message
    again = from_resolved(resolved(config))
    assert config_hash(again) == config_hash(config)
    assert all(isinstance(sentence, str) for sentence in advice(config))
    return None


def fuzz(home: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> int:
    monkeypatch.chdir(home)
    refused = 0
    for seed in seeds:
        chance = random.Random(seed)
        folder = home / "conf"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(preset_dir(chance.choice(PRESETS)), folder, ignore=lambda _, names: set(names) - _FILES)
        path = folder / chance.choice(sorted(_FILES))
        if chance.random() < 0.04:
            planted(path, chance)
        else:
            path.write_bytes(mutated(path.read_bytes(), chance))
        try:
            with in_time():
                complaint = put_through(folder)
            if complaint is not None:
                refused += 1
                named = re.match(r"conf(/\w+\.json)?(:\d+:\d+:? | )", complaint) or " conf" in complaint
                assert named, complaint[:300]
                assert complaint.endswith((".", "?", "`", ")")), complaint[-100:]
                assert complaint.isprintable(), complaint[:300]
                assert len(complaint) < 3000, len(complaint)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {path.name}: {type(error).__name__}: {error}") from error
    return refused


_FILES = frozenset(FILES.values())


def test_mutated_files_get_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 200 < fuzz(tmp_path, monkeypatch, range(400)) < 400


@pytest.mark.slow
def test_ten_thousand_mutated_files_get_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(tmp_path, monkeypatch, range(1000, 11000))
