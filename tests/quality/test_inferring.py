"""`infer` as a person types it: one prompt, a file, a chat; what is refused, and that nothing in a reply acts."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from engine.data.conversation import Role, Turn
from engine.data.template import Renderer
from engine.quality.chat import chat
from engine.quality.inferring import _write
from engine.quality.prompts import read_cases
from engine.quality.sampling import Sampling
from engine.quality.speaker import Reply
from engine.quality.speaking import ModelSpeaker
from engine.quality.voice import Manner, Voice
from states.text import clean

Typed = Callable[..., Any]
WORDS = "I feel worry panic night"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.json"
    rows: list[Any] = [
        WORDS,
        {"prompt": "I feel loss"},
        {"text": "Therapist: Welcome.\nClient: I feel tired.\nTherapist: I see.", "domain": "work"},
        {"messages": [{"role": "user", "content": "partner argue \x1b[31m"}]},
    ]
    path.write_text(json.dumps({"test_cases": rows}))
    return path


@pytest.fixture
def voice(opened: tuple[Any, Any]) -> Callable[..., Voice]:
    def make(**choices: Any) -> Voice:
        renderer = Renderer(opened[1], 128)
        manner = Manner(**{"sampling": Sampling(), "max_tokens": 24, "seed": 1, **choices})
        return Voice(ModelSpeaker(*opened, renderer), renderer, manner)

    return make


def test_a_prompt_is_answered_and_the_seed_decides(typed: Typed, finished_run: Path) -> None:
    words = ("infer", "--model_path", finished_run, "--prompt", WORDS, "--max-tokens", 12, "--temperature", 1)
    first, again = typed(*words), typed(*words)
    assert first.code == 0, first.err
    assert first.out == again.out != ""
    assert typed(*words, "--seed", 7).out != first.out
    assert "not for people in crisis" in first.err
    base = typed(*words, "--base", "--show-experts")
    assert base.out != first.out
    assert "experts: none" in base.err
    assert "experts: 0 " in typed(*words, "--show-experts").err


def test_a_file_is_answered_alike_as_text_and_as_json(typed: Typed, finished_run: Path, cases: Path) -> None:
    words = ("infer", finished_run, "--test_file", cases, "--max-tokens", 10, "--temperature", 0.8)
    told = typed(*words, "--json")
    assert told.code == 0, told.err
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3, 4]
    assert [line["client"] for line in lines][:3] == [WORDS, "I feel loss", "I feel tired."]
    assert all(sum(line["shares"]) == pytest.approx(1) for line in lines)
    shown = typed(*words)
    assert shown.code == 0
    assert "\x1b" not in shown.out
    for line in lines:
        assert f"[{line['row']}] client: " in shown.out
        assert clean(line["reply"]) in shown.out


def test_every_accepted_shape_ends_with_the_clients_last_words(cases: Path, tmp_path: Path) -> None:
    found = read_cases(cases)
    assert [each.turns[-1].role for each in found] == [Role.CLIENT] * 4
    assert [len(each.turns) for each in found] == [1, 1, 2, 1]
    for text in (json.dumps([WORDS]), json.dumps({"prompts": [WORDS]}), json.dumps([{"text": f"Client: {WORDS}"}])):
        (tmp_path / "one.json").write_text(text)
        assert read_cases(tmp_path / "one.json")[0].turns == (Turn(role=Role.CLIENT, text=WORDS),)
    row = {"conversations": [{"from": "human", "value": WORDS}, {"from": "gpt", "value": "Yes."}]}
    (tmp_path / "lines.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    assert [each.row for each in read_cases(tmp_path / "lines.jsonl")] == [1, 2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("[]", "the list is empty"),
        ('{"test_cases": [""]}', "case 1: it is empty"),
        ('{"test_cases": ["fine", 3]}', "case 2: it is a number"),
        ('{"test_cases": [{"input": "fine"}, {"input": 5}]}', 'case 2: "input" is a number'),
        ('[{"text": "Therapist: Hello."}]', "no client turn"),
        ('{"nothing": 1}', "conversations"),
        ("[1", "not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_answered_says_where(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(content)
    with pytest.raises(DataError, match=why):
        read_cases(path)


def test_what_cannot_be_answered_is_refused_with_a_reason(
    typed: Typed, finished_run: Path, cases: Path, tmp_path: Path
) -> None:
    other = tmp_path / "run"
    shutil.copytree(finished_run, other)
    (other / "MANIFEST.json").unlink()
    for checkpoint in other.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    (other / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    long = "worry " * 400
    refused: list[tuple[tuple[Any, ...], int, str]] = [
        ((finished_run,), 2, "--chat"),
        ((finished_run, "--prompt", "a", "--chat"), 2, "one of"),
        ((finished_run, "--chat", "--json"), 2, "--json"),
        ((finished_run, "--prompt", " "), 3, "empty"),
        ((finished_run, "--prompt", long), 3, "Shorten it"),
        ((finished_run, "--prompt", "a\udcff"), 3, "UTF-8"),
        ((finished_run, "--prompt", "a", "--max-tokens", 512), 2, "whole context"),
        ((finished_run, "--test-file", tmp_path / "none"), 3, "no test file"),
        ((tmp_path / "none", "--prompt", "a"), 2, "There is no"),
        ((other, "--prompt", "a"), 2, "another chat template"),
        ((finished_run, "--prompt", "a", "--top-p", 0), 2, "top-p"),
        ((finished_run, "--prompt", "a", "--temperature", "nan"), 2, "temperature"),
        ((finished_run, "--prompt", "a", "--device", "tpu"), 2, "auto, cpu, cuda"),
    ]
    for words, code, why in refused:
        said = typed("infer", *words)
        assert (said.code, said.out) == (code, ""), words
        assert why in " ".join(said.err.split()), words


def test_pieces_of_a_reply_are_the_whole_of_it(voice: Callable[..., Voice]) -> None:
    for temperature in (0.0, 2.0):
        made = voice(sampling=Sampling(temperature=temperature))
        pieces: list[str] = []
        prompt = made.prompt((Turn(role=Role.CLIENT, text=WORDS),), "it")
        reply = made.reply(prompt, 0, pieces.append)
        assert "".join(pieces) == reply.text
        assert len([piece for piece in pieces if piece]) > 2, "it came piece by piece"


def test_control_codes_in_a_reply_are_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    _write("Yes.\x1b]0;owned\x07\x9b31m\u202ebad\n")
    assert capsys.readouterr().out == "Yes.\\x1b]0;owned\\x07\\x9b31m\\u202ebad\n"


def talk(voice: Voice, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[Reply]]:
    """A chat in which a person types `lines`; what was written, and the replies."""
    written: list[str] = []
    replies: list[Reply] = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    chat(voice, written.append, replies.append)
    return "".join(written), replies


def test_a_chat_remembers_what_was_said_and_forgets_it_when_told(
    voice: Callable[..., Voice], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = voice()
    asked: list[int] = []
    prompt = made.prompt
    monkeypatch.setattr(made, "prompt", lambda turns, where: asked.append(len(turns)) or prompt(turns, where))
    lines = [WORDS, "and calm", "/undo", "and fear", "/reset", "boss", "/what", "", "/quit", "never read"]
    written, replies = talk(made, lines, monkeypatch)
    assert asked == [1, 3, 3, 1]
    assert len(replies) == 4
    assert written.count("therapist: ") == 4
    err = capsys.readouterr().err
    assert "no command '/what'" in err
    assert "/undo" in err


def test_a_chat_ends_with_its_input(voice: Callable[..., Voice], monkeypatch: pytest.MonkeyPatch) -> None:
    assert talk(voice(), [], monkeypatch) == ("", [])


def test_what_is_pasted_into_a_chat_reaches_the_model_as_plain_words(
    voice: Callable[..., Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = voice()
    heard: list[str] = []
    prompt = made.prompt
    monkeypatch.setattr(made, "prompt", lambda turns, where: heard.append(turns[-1].text) or prompt(turns, where))
    raw = io.BytesIO(b"worry\x1b[31m\x07\x00 and\tcalm\n" + b"a \xff\xfe b\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape"))
    replies: list[Reply] = []
    chat(made, lambda text: None, replies.append)
    assert heard == ["worry[31m and\tcalm", "a \ufffd\ufffd b"]
    assert len(replies) == 2


def test_ctrl_c_stops_the_reply_and_not_the_chat(
    voice: Callable[..., Voice], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = voice(sampling=Sampling(temperature=3.0), max_tokens=60)
    pieces: list[str] = []

    def write(text: str) -> None:
        pieces.append(text)
        if len(pieces) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    said = iter([WORDS, KeyboardInterrupt(), "and calm", EOFError()])

    def typed_in(_prompt: str) -> str:
        word = next(said)
        if isinstance(word, BaseException):
            raise word
        return word

    monkeypatch.setattr("builtins.input", typed_in)
    replies: list[Reply] = []
    before = signal.getsignal(signal.SIGINT)
    chat(made, write, replies.append)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(replies) == 1, "the second one was left alone"
    assert "".join(pieces).count("therapist: ") == 2
    err = capsys.readouterr().err
    assert "(stopped)" in err
    assert "/quit leaves" in err


def test_words_that_are_too_long_are_taken_back(
    voice: Callable[..., Voice], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, replies = talk(voice(), ["worry " * 200, WORDS], monkeypatch)
    assert len(replies) == 1
    err = capsys.readouterr().err
    assert "Shorten it" in err
    assert "/reset" not in err, "nothing was said before that could be forgotten"
    talk(voice(), [WORDS, "worry " * 200], monkeypatch)
    assert "/reset begins a new conversation" in capsys.readouterr().err
