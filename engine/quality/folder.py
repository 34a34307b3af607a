"""An evaluation's folder: each finished part is on disk before the next begins, and a later start takes it up."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from configs.errors import UsageError
from engine.data.conversation import Turn
from engine.quality.findings import Evaluation, Section, from_json, to_json
from engine.quality.markdown import markdown
from engine.quality.speaker import Reply
from engine.run.rundir import write_json

JSON: Final = "evaluation.json"
TEXT: Final = "evaluation.md"
REPLIES: Final = "replies.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an earlier start finished on the same model, data and settings."""

    parts: Mapping[str, tuple[Section, ...]]
    seconds: float


class EvaluationFolder:
    """Where an evaluation is written, for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Make it, and make sure of it before anything costs time. Raises `UsageError`."""
        os.umask(0o077)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.path / f".{os.getpid()}.tmp"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise UsageError(
                f"The evaluation cannot be written into {self.path}: {error.strerror}. Name another folder with "
                "--output-dir."
            ) from error

    def load(self, key: str) -> Kept | None:
        """What is finished for `key`; None where nothing is, or it was made of something else."""
        try:
            told: dict[str, Any] = orjson.loads((self.path / JSON).read_bytes())
            if told["key"] != key:
                return None
            sections = {section.name: section for section in from_json(told).sections}
            parts = {str(name): tuple(sections[each] for each in members) for name, members in told["finished"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Kept(parts=parts, seconds=float(told["seconds"])) if parts else None

    def holds_another(self, key: str) -> bool:
        """Whether an evaluation of something else is here, which a new one replaces."""
        try:
            told = orjson.loads((self.path / JSON).read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(told, dict) and told.get("key") != key

    def drop_replies(self) -> bool:
        """Remove what an earlier evaluation kept of conversations; whether there was any. Raises `UsageError`."""
        path = self.path / REPLIES
        if not path.is_file() or not _of_evaluation(path):
            return False
        try:
            path.unlink()
            for left in self.path.glob(f".{REPLIES}.*.tmp"):
                left.unlink()
        except OSError as error:
            raise UsageError(
                f"{path} holds replies of an earlier evaluation and cannot be removed: {error.strerror}. Remove it, or "
                "name another folder with --output-dir."
            ) from error
        return True

    def save(self, evaluation: Evaluation, key: str, finished: Mapping[str, Sequence[str]]) -> None:
        """Replace both files; a reader sees the old ones or the new. `finished`: section names by part."""
        write_json(self.path / JSON, {**to_json(evaluation), "key": key, "finished": finished})
        staged = self.path / f".{TEXT}.{os.getpid()}.tmp"
        staged.write_text(markdown(evaluation), encoding="utf-8", errors="backslashreplace")
        staged.replace(self.path / TEXT)


class ReplyFile:
    """Generated replies, kept only where a person asked for them."""

    def __init__(self, path: Path, *, finished: Collection[str]) -> None:
        """Replies that an earlier start kept stay where their part is `finished`; the others will be made again.

        Raises `UsageError` where a file of that name is not an evaluation's.
        """
        if path.exists() and not _of_evaluation(path):
            raise UsageError(
                f"{path} was not written by an evaluation and is not overwritten. Move it, or name another folder with "
                "--output-dir."
            )
        kept = [line for line in _lines(path) if line[0] in finished]
        staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            staged.write_bytes(b"".join(line for _, line in kept))
            staged.replace(path)
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        self._stream: TextIO = path.open("a", encoding="utf-8", errors="backslashreplace")
        self.part = ""

    def add(self, model: str, contexts: Sequence[Sequence[Turn]], replies: Sequence[Reply]) -> None:
        """One line a reply, as `model` (`trained` or `base`) wrote it."""
        for turns, reply in zip(contexts, replies, strict=True):
            line = {
                "part": self.part,
                "model": model,
                "context": [{"role": str(turn.role), "text": turn.text} for turn in turns],
                "reply": reply.text,
                "tokens": reply.tokens,
                "ended": reply.ended,
                "shares": list(reply.shares),
            }
            self._stream.write(orjson.dumps(line).decode() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """No more lines."""
        self._stream.close()


def _of_evaluation(path: Path) -> bool:
    """Whether a file's first line is one of `ReplyFile`'s, or it has none; another program's may have the same name."""
    try:
        with path.open("rb") as file:
            first = file.readline()
        told = orjson.loads(first) if first.strip() else None
    except (OSError, ValueError):
        return False
    return told is None or (isinstance(told, dict) and {"part", "model", "context", "reply"} <= told.keys())


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Part and line of what is kept; a torn line is none."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            yield str(orjson.loads(line)["part"]), line
        except (ValueError, KeyError, TypeError):
            continue
