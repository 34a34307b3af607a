"""Power loss loses what was not fsynced, unlike a kill. Every state that a save can leave on disk is built and read.

The model: a file's data is whole once fsynced, else empty, half, zeroed or whole; a directory's entries are durable
once the directory is fsynced, else any subset of them, in no order.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.checkpoint.files import Files, Writer
from engine.checkpoint.store import newest_valid

Tree = dict[str, dict[str, bytes]]
"""Directory name -> file name -> content."""


@dataclass
class Link:
    """An entry that a directory gained or, with `gone`, lost. A directory is known by the name it was made under."""

    place: str
    name: str
    moved_from: str | None = None
    gone: bool = False
    durable: bool = False


@dataclass
class Recorder(Files):
    """The disk, taking notes. `lazy` names the fsyncs it forgets to make."""

    run: Path
    lazy: tuple[str, ...] = ()
    links: list[Link] = field(default_factory=list)
    data: dict[tuple[str, str], bytes] = field(default_factory=dict)
    synced: set[tuple[str, str]] = field(default_factory=set)
    home: dict[str, str] = field(default_factory=dict)
    states: list[tuple[list[Link], dict[tuple[str, str], bytes], set[tuple[str, str]]]] = field(default_factory=list)

    def _note(self) -> None:
        copies = [Link(link.place, link.name, link.moved_from, link.gone, link.durable) for link in self.links]
        self.states.append((copies, dict(self.data), set(self.synced)))

    def make_dir(self, path: Path) -> None:
        super().make_dir(path)
        self.home[path.name] = path.name
        self.links.append(Link("", path.name))
        self._note()

    def _created(self, path: Path) -> None:
        place = self.home[path.parent.name]
        self.links.append(Link(place, path.name))
        self.data[place, path.name] = path.read_bytes()
        self._note()

    def put(self, path: Path, data: bytes) -> None:
        super().put(path, data)
        self._created(path)

    def produce(self, path: Path, writer: Writer) -> None:
        super().produce(path, writer)
        self._created(path)

    def sync_file(self, path: Path) -> None:
        if "file" not in self.lazy:
            self.synced.add((self.home[path.parent.name], path.name))
        self._note()

    def sync_dir(self, path: Path) -> None:
        place = "" if path == self.run else self.home[path.name]
        for link in self.links:
            if link.place == place and ("run" if place == "" else "dir") not in self.lazy:
                link.durable = True
        self._note()

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        inode = self.home.pop(old.name)
        self.home[new.name] = inode
        self.links.append(Link("", new.name, moved_from=old.name))
        self._note()

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.links.append(Link(self.home[path.parent.name], path.name, gone=True))
        self._note()

    def remove_dir(self, path: Path) -> None:
        super().remove_dir(path)
        self.links.append(Link("", path.name, gone=True))
        self._note()


def crashes(recorder: Recorder, base: Tree) -> Iterator[tuple[bool, Tree]]:
    """Yield (acknowledged, what is on disk) for every state the power may fail in."""
    seen = set()
    last = len(recorder.states) - 1
    for number, (links, data, synced) in reversed(list(enumerate(recorder.states))):
        free = [index for index, link in enumerate(links) if not link.durable]
        for size in range(len(free) + 1):
            for lost in itertools.combinations(free, size):
                kept = [link for index, link in enumerate(links) if index not in lost]
                for tree in built(kept, data, synced, base):
                    key = (number == last, repr(sorted((name, sorted(files.items())) for name, files in tree.items())))
                    if key not in seen:
                        seen.add(key)
                        yield number == last, tree


def built(
    links: list[Link], data: dict[tuple[str, str], bytes], synced: set[tuple[str, str]], base: Tree
) -> Iterator[Tree]:
    """Yield the trees that the surviving links make; directories still being staged are left out, no reader looks."""
    names = {name: name for name in base}
    inodes: dict[str, set[str]] = {name: set(files) for name, files in base.items()}
    origin = dict(names)
    for link in links:
        if link.place:
            members = inodes.setdefault(link.place, set())
            members.discard(link.name) if link.gone else members.add(link.name)
        elif link.gone:
            names.pop(link.name, None)
        elif link.moved_from:
            inode = origin[link.moved_from] = origin.get(link.moved_from, link.moved_from)
            names.pop(link.moved_from, None)
            names[link.name] = origin[link.name] = inode
        else:
            names[link.name] = origin[link.name] = link.name
    shown = {name: inode for name, inode in names.items() if not name.startswith(".staging")}
    members = [(inode, file) for inode in set(shown.values()) for file in sorted(inodes.get(inode, ()))]
    loose = [key for key in members if key in data and key not in synced]
    for contents in itertools.product(*[variants(data[key]) for key in loose]):
        held = {**{(name, file): text for name, files in base.items() for file, text in files.items()}, **data}
        held |= dict(zip(loose, contents, strict=True))
        yield {name: {file: held[inode, file] for file in inodes.get(inode, ())} for name, inode in shown.items()}


def variants(text: bytes) -> tuple[bytes, ...]:
    return (text, b"", text[: len(text) // 2], bytes(len(text)))


def outcomes(recorder: Recorder, base: Tree, place: Path, new: bytes) -> Iterator[str]:
    """Yield how each crash ends: `old` or `new` for a reader, or what must not be."""
    for acknowledged, tree in crashes(recorder, base):
        shutil.rmtree(place, ignore_errors=True)
        for name, files in tree.items():
            (place / name).mkdir(parents=True)
            for file, text in files.items():
                (place / name / file).write_bytes(text)
        path = newest_valid(place, on_skip=lambda path, why: None)
        content = (path / "moe_layers.safetensors").read_bytes() if path else b""
        outcome = "lost" if path is None else "new" if new in content else "old"
        yield "acknowledged but lost" if acknowledged and outcome == "old" else outcome


def record(run: Path, save_step, step: int, flavour: int, lazy: tuple[str, ...] = ()) -> tuple[Recorder, Tree]:
    base = {path.name: {file.name: file.read_bytes() for file in path.iterdir()} for path in run.iterdir()}
    recorder = Recorder(run=run, lazy=lazy, home={name: name for name in base})
    save_step(step, flavour=flavour, files=recorder)
    return recorder, base


@pytest.mark.parametrize("step", [5, 6], ids=["replacing the only one", "beside an older one"])
def test_no_power_loss_loses_a_checkpoint_or_passes_a_torn_one(run, save_step, tmp_path, step):
    save_step(5)
    recorder, base = record(run, save_step, step, flavour=90)
    assert set(outcomes(recorder, base, tmp_path / "after", f"step {step + 90}\n".encode())) == {"old", "new"}


@pytest.mark.parametrize("forgotten", ["file", "dir", "run"])
def test_each_fsync_is_needed(run, save_step, tmp_path, forgotten):
    save_step(5)
    recorder, base = record(run, save_step, 5, flavour=90, lazy=(forgotten,))
    ends = outcomes(recorder, base, tmp_path / "after", b"step 95\n")
    assert any(end in ("lost", "acknowledged but lost") for end in ends)
