"""Token cache: a large data set is tokenised once, and read back as memory-mapped arrays by the runs that follow.

Only above `THRESHOLD` conversations: smaller sets are tokenised in seconds, and token ids are the conversations
themselves, which are best not left in one more place. Entries lie in $XDG_CACHE_HOME/stint/tokens, for their owner
alone; the newest `KEPT` stay. Deleting the folder costs a tokenisation and nothing else.

An entry's name is a hash of everything that decides its content: the files, the split, the template, the tokenizer,
max_length, the domains, the versions of the libraries, and the source of every module that renders. So yesterday's
tokens can never stand for today's data.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.survey import CHUNK
from engine.data.tally import RenderTally
from engine.data.template import Renderer
from engine.run.rundir import write_json

THRESHOLD: Final = 20_000
"""Conversations from which on tokens are kept."""
KEPT: Final = 2
_HEADER_BYTES: Final = 128
_COLUMNS: Final = 5
"""Of `index`: tokens, domain, conversation, part, side."""
_MANIFEST: Final = "manifest.json"
_ARRAYS: Final = ("ids", "labels", "index")
_RENDERING: Final = (
    "anchors", "clusters", "controls", "conversation", "dialogue", "document", "domains", "echoes", "encoder",
    "encoding", "example", "formats", "offsets", "oversize", "rows", "scaffold", "slicing", "split", "tally",
    "template", "transcript", "windows",
)  # fmt: skip
"""Modules of this room that decide what an example is."""


def cache_root() -> Path:
    """The folder of all entries, per the XDG base directory specification: a relative or empty variable is unset."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(stated) if stated.startswith("/") else Path.home() / ".cache"
    return home / "stint" / "tokens"


def cache_key(tokenizer: Any, renderer: Renderer, parts: Sequence[object]) -> str:
    """The name of an entry; `parts` is what the caller knows of the data: digests, split, domains."""
    source = hashlib.sha256()
    for name in _RENDERING:
        source.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    described = {
        "data": [str(part) for part in parts],
        "max_length": renderer.max_length,
        "template": renderer.template_text,
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        "specials": {name: str(value) for name, value in sorted(tokenizer.special_tokens_map.items())},
        "code": source.hexdigest(),
        "versions": [version(name) for name in ("tokenizers", "transformers", "jinja2", "numpy")],
    }
    return hashlib.sha256(orjson.dumps(described, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


Sides = tuple[Sequence[Conversation], Sequence[Conversation]]
"""Training and validation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an entry holds."""

    train: list[Example]
    validation: list[Example]
    tally: RenderTally
    """What rendering them counted."""


class TokenCache:
    """Entries under one folder. Whatever is wrong with it, rendering goes on without."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or cache_root()

    def load(self, key: str) -> Kept | None:
        """An entry, memory-mapped; None without a whole one."""
        folder = self._root / key
        try:
            manifest = orjson.loads((folder / _MANIFEST).read_bytes())
            if manifest["key"] != key or any(
                _digest(folder / f"{name}.npy") != manifest["sha256"][name] for name in _ARRAYS
            ):
                return None
            ids, labels, index = (_mapped(folder / f"{name}.npy") for name in _ARRAYS)
            tally = RenderTally(**manifest["tally"])
            os.utime(folder)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        kept = Kept(train=[], validation=[], tally=tally)
        for side, example in _examples(ids, labels, index.reshape(-1, _COLUMNS)):
            (kept.validation if side else kept.train).append(example)
        return kept

    def store(self, key: str, renderer: Renderer, sides: Sides, progress: Callable[[int], None]) -> Kept | None:
        """Render both sides into an entry and load it; None where it cannot be kept, and nothing is left of it.

        The arrays are written chunk by chunk beside the entries, and renamed when they are whole and on the disk.
        """
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._root.chmod(0o700)
            with self._alone():
                staged = self._root / f".{key}.part"
                shutil.rmtree(staged, ignore_errors=True)
                staged.mkdir(mode=0o700)
                try:
                    _write(staged, key, renderer, sides, progress)
                    shutil.rmtree(self._root / key, ignore_errors=True)
                    staged.rename(self._root / key)
                finally:
                    shutil.rmtree(staged, ignore_errors=True)
                self._prune()
        except OSError:
            return None
        return self.load(key)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, so that whatever lies unfinished is a crash's; raises `BlockingIOError`, an OSError."""
        descriptor = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._root.glob(".*.part"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)

    def _prune(self) -> None:
        entries = [path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        for old in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, key: str, renderer: Renderer, sides: Sides, progress: Callable[[int], None]) -> None:
    counts = dict.fromkeys(_ARRAYS, 0)
    hashes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(_create(folder / f"{name}.npy")) for name in _ARRAYS}
        for file in files.values():
            file.write(b"\0" * _HEADER_BYTES)
        for side, example in _render(renderer, sides, progress):
            row = (example.tokens, example.domain_index, example.conversation, example.part, side)
            for name, array in (("ids", example.ids), ("labels", example.labels), ("index", np.array(row))):
                files[name].write(np.ascontiguousarray(array, dtype="<i4").tobytes())
                counts[name] += len(array)
        for name, file in files.items():
            file.seek(0)
            file.write(_header(counts[name]))
            file.flush()
            os.fsync(file.fileno())
            hashes[name] = _digest(folder / f"{name}.npy")
    write_json(folder / _MANIFEST, {"key": key, "sha256": hashes, "tally": asdict(renderer.tally)})


def _render(renderer: Renderer, sides: Sides, progress: Callable[[int], None]) -> Iterator[tuple[int, Example]]:
    """The examples of both sides with the number of the side, a chunk of conversations in memory at a time."""
    before = 0
    for side, conversations in enumerate(sides):
        for begin in range(0, len(conversations), CHUNK):
            done = before + begin
            chunk = conversations[begin : begin + CHUNK]
            for example in renderer.render_all(chunk, lambda more, done=done: progress(done + more)):  # type: ignore[misc]
                yield side, example
        before += len(conversations)


def _create(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def _header(count: int) -> bytes:
    """The header of a flat int32 array in NumPy's format, version 1.0, padded so that any count fits the room."""
    described = f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({count},), }}"
    body = described.ljust(_HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body.encode("ascii")


def _mapped(path: Path) -> NDArray[np.int32]:
    """A file's array, read page by page when it is used; as a plain view, whose slices are ten times cheaper."""
    mapped: NDArray[np.int32] = np.load(path, mmap_mode="r").view(np.ndarray)
    return mapped


def _examples(
    ids: NDArray[np.int32], labels: NDArray[np.int32], index: NDArray[np.int32]
) -> Iterator[tuple[int, Example]]:
    start = 0
    for tokens, domain, conversation, part, side in index.tolist():
        stop = start + tokens
        yield (
            side,
            Example(
                ids=ids[start:stop],
                labels=labels[start:stop],
                domain_index=domain,
                conversation=conversation,
                part=part,
            ),
        )
        start = stop


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
