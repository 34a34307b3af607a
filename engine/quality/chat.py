"""A conversation at the terminal: the person is the client, the model the therapist.

Ctrl+C stops a reply, not the chat. What is said stays in memory and is gone with the process.
"""

from __future__ import annotations

import contextlib
import io
import sys
import unicodedata
from collections.abc import Callable
from typing import Final

from configs.errors import DataError
from engine.data.conversation import Role, Turn
from engine.quality.speaker import Reply
from engine.quality.stopping import stoppable
from engine.quality.voice import Voice

COMMANDS: Final = {
    "/quit": "leave (Ctrl+D does too)",
    "/reset": "begin a new conversation",
    "/undo": "take back the last exchange",
    "/help": "these lines",
}
_LEAVING: Final = ("/quit", "/exit", "/bye")


def chat(voice: Voice, write: Callable[[str], None], after: Callable[[Reply], None]) -> None:
    """Talk until the person leaves; `write` prints a piece of a reply, `after` hears each that was not stopped."""
    with contextlib.suppress(ImportError):
        # It gives `input` line editing and a history, in memory only.
        import readline

        if sys.stdin.isatty():
            # What is pasted is one message, however many lines it has, and none of it is a key.
            readline.parse_and_bind("set enable-bracketed-paste on")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    print("You are the client. /help lists the commands, /quit leaves.", file=sys.stderr)
    turns: list[Turn] = []
    number = 0
    while True:
        said = _hear()
        if said is None or said in _LEAVING:
            return
        if said.startswith("/"):
            _obey(said, turns)
        elif said:
            turns.append(Turn(role=Role.CLIENT, text=said))
            number += _answer(voice, turns, number, write, after)


def _hear() -> str | None:
    """What the person says; None when they leave."""
    while True:
        try:
            return tidied(input("you: ")).strip()
        except EOFError:
            print(flush=True)
            return None
        except KeyboardInterrupt:
            print("\n/quit leaves.", file=sys.stderr)


def tidied(text: str) -> str:
    """Words as a person means them: without control characters, and with a mark for bytes that are no text."""
    kept = (letter for letter in text if letter in "\n\t" or unicodedata.category(letter) != "Cc")
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in kept)


def _obey(said: str, turns: list[Turn]) -> None:
    if said == "/reset":
        turns.clear()
        print("A new conversation.", file=sys.stderr)
    elif said == "/undo":
        del turns[-2:]
        print(f"{len(turns) // 2} exchanges stand.", file=sys.stderr)
    else:
        if said != "/help":
            print(f"There is no command {said.split()[0]!r}.", file=sys.stderr)
        for name, does in COMMANDS.items():
            print(f"  {name:<7} {does}", file=sys.stderr)


def _answer(
    voice: Voice, turns: list[Turn], number: int, write: Callable[[str], None], after: Callable[[Reply], None]
) -> int:
    """Reply to the last turn; 1 where a reply was said, 0 where the turn is taken back."""
    try:
        prompt = voice.prompt(turns, "What you wrote")
    except DataError as error:
        turns.pop()
        print(error.message, file=sys.stderr)
        if turns:
            print("All that was said so far counts; /reset begins a new conversation.", file=sys.stderr)
        return 0
    write("therapist: ")
    with stoppable() as stop:
        reply = voice.reply(prompt, number, write, stop)
        stopped = stop()
    write("\n")
    if stopped:
        print("(stopped)", file=sys.stderr)
    if not reply.text:
        turns.pop()
        print("It said nothing; your words are taken back.", file=sys.stderr)
        return 0
    turns.append(Turn(role=Role.THERAPIST, text=reply.text))
    if not stopped:
        after(reply)
    return 1
