"""From the words of a command line to the words that typer parses: the command first, its options spelled one way.

The documents people work from write `--output_dir` and leave `train` out; both are what they mean.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from configs.errors import UsageError

DEFAULT: Final = "train"
ALIASES: Final = {"--resume-from-checkpoint": "--resume"}
ALONE: Final = ("--help", "-h", "--version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What can be typed."""

    commands: Collection[str]
    groups: Collection[str]
    """Names that a command of their own must follow."""
    flags: Collection[str]
    """Options of `train` that take no value."""
    valued: Collection[str]
    """Options of `train` whose value is the next word."""


def arrange(typed: Sequence[str], grammar: Grammar) -> list[str]:
    """The same request with its command in front. Raises `UsageError` where no command is what was meant."""
    words = _spelled(typed)
    if not words:
        return [DEFAULT]
    first = words[0]
    if first in grammar.groups:
        return words if len(words) > 1 else [first, "--help"]
    if first in grammar.commands or first in ALONE:
        return words
    if not first.startswith("-"):
        raise _unknown(first, grammar)
    return [DEFAULT, *_without_command(words, grammar)]


def _spelled(typed: Sequence[str]) -> list[str]:
    """The words with `--long_option` as `--long-option`, up to a `--` that ends the options."""
    words = list(typed)
    for index, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            words[index] = ALIASES.get(name, name) + equals + value
    return words


def _without_command(words: list[str], grammar: Grammar) -> list[str]:
    """Options that stand before any command belong to `train`, which may still be named after them."""
    is_value = False
    for index, word in enumerate(words):
        if is_value or word.startswith("-"):
            if not is_value and word.partition("=")[0] not in (*grammar.flags, *grammar.valued):
                return words  # an unknown option: typer says so, and what follows may be its value
            is_value = not is_value and word in grammar.valued
            continue
        if word == DEFAULT:
            return words[:index] + words[index + 1 :]
        if word in grammar.commands or word in grammar.groups:
            raise UsageError(
                f"{words[0]} stands before `{word}`, and options before a command belong to `{DEFAULT}`. Write "
                f"`{word}` first and its own options after it."
            )
        raise _unknown(word, grammar)
    return words


def _unknown(word: str, grammar: Grammar) -> UsageError:
    names = [*grammar.commands, *grammar.groups]
    close = difflib.get_close_matches(word, names, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return UsageError(f"There is no command `{word}`.{hint} The commands are: {', '.join(names)}.")
