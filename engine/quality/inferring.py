"""The `infer` command's work: replies to a prompt or a file, or a chat, to a terminal or as JSON lines."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from configs.errors import DataError, UsageError
from engine.data.rows import RowError
from engine.quality.chat import chat
from engine.quality.flowing import Flow
from engine.quality.prompts import Case, read_cases, spoken
from engine.quality.sampling import Sampling
from engine.quality.speaker import Interrupted, Reply
from engine.quality.stopping import stoppable
from engine.quality.subject import find_subject
from engine.quality.voice import Manner, Voice, open_voice
from states.text import clean, one_line

STANDING: Final = (
    "Research software: this is not a clinician, and not for people in crisis. In danger, call your emergency number "
    "or a crisis line (988 in the United States)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options as typed."""

    model_path: Path | None = None
    test_file: Path | None = None
    prompt: str | None = None
    chat: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 256
    seed: int = 42
    bare: bool = False
    show_experts: bool = False
    as_json: bool = False
    base_model: str | None = None
    chat_template: Path | None = None
    device: str = "auto"


def infer(request: Request) -> bool:
    """Do it; False where a person stopped it. Raises a `UserError` for whatever is wrong with the request."""
    cases = _cases(request)
    subject = find_subject(request.model_path)
    width = shutil.get_terminal_size((100, 24)).columns
    print(textwrap.fill(STANDING, width) if sys.stderr.isatty() else STANDING, file=sys.stderr, flush=True)
    manner = Manner(sampling=request.sampling, max_tokens=request.max_tokens, seed=request.seed)
    voice = open_voice(
        subject,
        manner,
        bare=request.bare,
        base_model=request.base_model,
        chat_template=request.chat_template,
        device=request.device,
    )
    write = Flow(_write, lambda: shutil.get_terminal_size((100, 24)).columns) if sys.stdout.isatty() else _write
    if cases is None:
        chat(voice, write, lambda reply: _after(reply, request))
        return True
    prompts = [voice.prompt(case.turns, _where(case, request)) for case in cases]
    with stoppable() as stop:
        if request.as_json:
            return _as_json(voice, cases, prompts, stop)
        return _as_text(voice, cases, prompts, stop, request, write)


def _cases(request: Request) -> list[Case] | None:
    """What is to be answered; None for a chat."""
    given = [request.test_file is not None, request.prompt is not None, request.chat]
    if not math.isfinite(request.sampling.temperature) or not math.isfinite(request.sampling.top_p):
        raise UsageError("--temperature and --top-p are numbers.")
    if sum(given) != 1:
        raise UsageError("Say what is to be answered: one of --prompt TEXT, --test-file FILE or --chat.")
    if request.chat:
        if request.as_json:
            raise UsageError("--json belongs to --prompt and --test-file; a chat is for a person.")
        return None
    if request.test_file is not None:
        return read_cases(request.test_file)
    if any("\ud800" <= letter <= "\udfff" for letter in request.prompt or ""):
        raise DataError("--prompt is not text in UTF-8. Put it into a file for --test-file, or correct the terminal.")
    try:
        return [Case(row=1, turns=spoken(request.prompt or ""))]
    except RowError as error:
        raise DataError(f"--prompt cannot be answered: {error}.") from None


def _where(case: Case, request: Request) -> str:
    return "--prompt" if request.test_file is None else f"{request.test_file}: case {case.row}"


def _as_text(
    voice: Voice,
    cases: list[Case],
    prompts: list[list[int]],
    stop: Any,
    request: Request,
    write: Callable[[str], None],
) -> bool:
    for number, (case, prompt) in enumerate(zip(cases, prompts, strict=True)):
        if stop():
            return False
        if request.test_file is not None:
            write(f"{'' if number == 0 else chr(10)}[{case.row}] client: {one_line(case.turns[-1].text, 300)}\n")
            write("therapist: ")
        reply = voice.reply(prompt, number, write, stop)
        write("\n")
        if stop():
            return False
        _after(reply, request)
    return True


def _as_json(voice: Voice, cases: list[Case], prompts: list[list[int]], stop: Any) -> bool:
    began = time.perf_counter()
    try:
        for number, reply, seconds in voice.replies(prompts, stop):
            line = {
                "row": cases[number].row,
                "client": cases[number].turns[-1].text,
                "reply": reply.text,
                "tokens": reply.tokens,
                "ended": reply.ended,
                "shares": list(reply.shares),
                "seconds": round(seconds, 3),
            }
            # In ASCII everything that a terminal could obey is spelled out, and still JSON.
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    except Interrupted:
        print(f"Stopped after {time.perf_counter() - began:.0f} s.", file=sys.stderr)
        return False
    return True


def _after(reply: Reply, request: Request) -> None:
    if not reply.ended:
        print(f"(cut off at {reply.tokens} tokens)", file=sys.stderr)
    if request.show_experts:
        print(experts_line(reply), file=sys.stderr)


def experts_line(reply: Reply) -> str:
    """Who wrote it."""
    if not reply.shares:
        return "experts: none; adapters or routing are off"
    return "experts: " + "  ".join(f"{number} {share:.0%}" for number, share in enumerate(reply.shares))


def _write(text: str) -> None:
    """A piece of foreign text, to a terminal that must not obey it."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(clean(text).encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
