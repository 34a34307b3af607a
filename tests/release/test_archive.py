"""Backups: the same files give the same bytes, damage is seen, and a hostile archive leaves nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError, UsageError
from engine.quality.subject import find_subject
from engine.release.archive import LISTING, compresses, write_archive
from engine.release.contents import Member, members
from engine.release.forms import Checkpoints
from engine.release.restoring import restore
from engine.run.rundir import RunDir


def silent(*_: object) -> None: ...


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's files without an engine: a model, two unsound checkpoints, a journal, replies."""
    folder = tmp_path / "run"
    for name, content in {
        "adapter_model.safetensors": os.urandom(5000),
        "events.jsonl": b'{"seq":0}\n' * 300,
        "engine.lock": b"",
        ".staging-1/half": b"x",
        "evaluation/evaluation.json": b"{}",
        "evaluation/replies.jsonl": b'{"reply":"..."}\n',
        "checkpoint-5/adapter_model.safetensors": b"not whole",
        "umlaut-\xc3\xa4 and space.txt".encode().decode(): b"y",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def packed(run: Path, target: Path, *, compressed: bool = True) -> Path:
    files = members(find_subject(run), checkpoints=Checkpoints.NEEDED, conversations=False)
    return write_archive(files, target, top=run.name, compressed=compressed, progressed=silent).path


@pytest.mark.parametrize("compressed", [True, False])
def test_a_backup_comes_back_as_it_was(run: Path, tmp_path: Path, compressed: bool) -> None:
    count = restore(packed(run, tmp_path / "b", compressed=compressed), tmp_path / "back", progressed=silent)
    back = {path.relative_to(tmp_path / "back").as_posix(): path for path in (tmp_path / "back").rglob("*.*")}
    assert count == 4
    assert "evaluation/replies.jsonl" not in back, "conversation text was not asked for"
    assert not any(name.startswith(("checkpoint-", ".", "engine.lock")) for name in back)
    for name in ("adapter_model.safetensors", "events.jsonl"):
        assert back[name].read_bytes() == (run / name).read_bytes()
        assert back[name].stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("compressed", [True, False])
def test_the_same_files_give_the_same_bytes(run: Path, tmp_path: Path, compressed: bool) -> None:
    first = packed(run, tmp_path / "1", compressed=compressed).read_bytes()
    os.utime(run / "events.jsonl", (1, 1))
    (run / "events.jsonl").chmod(0o640)
    assert packed(run, tmp_path / "2", compressed=compressed).read_bytes() == first


@pytest.mark.parametrize("name", ["run_20260101.tar.gz", "b.tgz", "b.tar"])
def test_a_backup_holds_no_earlier_one(run: Path, name: str) -> None:
    before = packed(run, run / name)
    names = {each.name for each in members(find_subject(run), checkpoints=Checkpoints.NEEDED, conversations=False)}
    assert before.exists()
    assert len(names) == 4
    assert before.name not in names


def test_gzip_is_used_where_it_helps(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(100_000))
    (tmp_path / "text").write_bytes(b"the same words again " * 5000)
    weights, text = (Member(name=name, path=tmp_path / name) for name in ("weights", "text"))
    assert not compresses([weights])
    assert compresses([text])
    assert not compresses([])


def test_a_live_run_is_not_backed_up(run: Path) -> None:
    with RunDir(run).hold_lock(), pytest.raises(UsageError, match="training here"):
        members(find_subject(run), checkpoints=Checkpoints.NEEDED, conversations=False)


def test_conversations_come_only_when_asked_for(finished_run: Path) -> None:
    subject = find_subject(finished_run)
    plain = {member.name for member in members(subject, checkpoints=Checkpoints.ALL, conversations=False)}
    asked = {member.name for member in members(subject, checkpoints=Checkpoints.ALL, conversations=True)}
    assert not any("conversations" in name for name in plain)
    assert asked - plain == {"conversations/train/conversations.json"}
    assert any(name.startswith("checkpoint-") for name in plain)
    needed = {member.name for member in members(subject, checkpoints=Checkpoints.NEEDED, conversations=False)}
    none = {member.name for member in members(subject, checkpoints=Checkpoints.NONE, conversations=False)}
    assert none < needed <= plain


def test_conversations_that_a_restored_run_brought_along_still_come_only_when_asked_for(
    finished_run: Path, tmp_path: Path
) -> None:
    files = members(find_subject(finished_run), checkpoints=Checkpoints.NEEDED, conversations=True)
    made = write_archive(files, tmp_path / "b.tar", top="run", compressed=False, progressed=silent)
    restore(made.path, tmp_path / "back", progressed=silent)
    again = find_subject(tmp_path / "back")
    plain = [member.name for member in members(again, checkpoints=Checkpoints.NEEDED, conversations=False)]
    asked = [member.name for member in members(again, checkpoints=Checkpoints.NEEDED, conversations=True)]
    assert not any("conversations" in name for name in plain)
    assert asked == [member.name for member in files], "each once"


def test_a_file_that_changes_while_it_is_packed_is_noticed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = members(find_subject(run), checkpoints=Checkpoints.NONE, conversations=False)

    def change(task: str, done: int, total: int) -> None:
        if task == "pack" and done == 0:
            (run / "adapter_model.safetensors").write_bytes(os.urandom(5000))

    with pytest.raises(UsageError, match="changed while it was packed"):
        write_archive(files, tmp_path / "b", top="run", compressed=False, progressed=change)
    assert not list(tmp_path.glob("*b*"))


def test_a_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        packed(run, tmp_path / "b")
    assert not list(tmp_path.glob("*b*"))


@pytest.mark.parametrize("place", [5, 600, -600, -2])
def test_a_changed_byte_is_noticed(run: Path, tmp_path: Path, place: int) -> None:
    path = packed(run, tmp_path / "b.tar.gz")
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0xFF
    path.write_bytes(bytes(raw))
    try:
        restore(path, tmp_path / "back", progressed=silent)
    except DataError:
        assert not (tmp_path / "back").exists()
    else:  # a byte of gzip's own header that means nothing
        assert (tmp_path / "back" / "events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()
        assert place == 5


@pytest.mark.parametrize("keep", [0, 10, 700, 3000])
def test_a_cut_archive_is_refused_and_leaves_nothing(run: Path, tmp_path: Path, keep: int) -> None:
    path = packed(run, tmp_path / "b.tar.gz")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError):
        restore(path, tmp_path / "back", progressed=silent)
    assert not list(tmp_path.glob("*back*"))


def forged(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], listed: dict[str, Any]) -> Path:
    body = json.dumps({"schema": 1, "files": listed}).encode()
    with tarfile.open(path, "w") as tar:
        head = tarfile.TarInfo(f"run/{LISTING}")
        head.size = len(body)
        tar.addfile(head, io.BytesIO(body))
        for header, content in entries:
            tar.addfile(header, io.BytesIO(content))
    return path


def entry(name: str, content: bytes = b"x", **choices: Any) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for key, value in choices.items():
        setattr(header, key, value)
    return header, content


def fact(content: bytes = b"x") -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


HOSTILE = {
    "parent": [entry("run/../../evil")],
    "absolute": [entry("/tmp/evil")],
    "other folder": [entry("elsewhere/evil")],
    "top itself": [entry("run")],
    "link": [entry("run/evil", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [entry("run/evil", b"", type=tarfile.LNKTYPE, linkname="run/BACKUP.json")],
    "device": [entry("run/evil", b"", type=tarfile.CHRTYPE)],
    "fifo": [entry("run/evil", b"", type=tarfile.FIFOTYPE)],
    "backslash": [entry("run/..\\evil")],
    "unlisted": [entry("run/unlisted")],
    "twice": [entry("run/evil"), entry("run/evil")],
    "other size": [entry("run/evil", b"xx")],
    "other content": [entry("run/evil", b"y")],
    "file under a file": [entry("run/evil"), entry("run/evil/evil")],
    "control codes": [entry("run/\x1b[2J")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing(tmp_path: Path, name: str) -> None:
    listed = {"evil": fact(), "../../evil": fact(), "../evil": fact(), "evil/evil": fact()}
    path = forged(tmp_path / "b.tar", HOSTILE[name], listed)
    with pytest.raises((DataError, UsageError)) as caught:
        restore(path, tmp_path / "in" / "back", progressed=silent)
    assert "\x1b" not in caught.value.message
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["b.tar", "in"]


def test_a_header_that_claims_more_than_there_can_be_is_damage(tmp_path: Path) -> None:
    path = forged(tmp_path / "b.tar", [entry("run/evil", type=tarfile.XHDTYPE)], {"evil": fact()})
    raw = bytearray(path.read_bytes())
    place = raw.index(b"run/evil\0")
    raw[place + 124 : place + 136] = b"\x80" + b"\x7f" * 11
    raw[place + 148 : place + 156] = b" " * 8
    raw[place + 148 : place + 156] = b"%06o\0 " % sum(raw[place : place + 512])
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="damaged"):
        restore(path, tmp_path / "back", progressed=silent)


@pytest.mark.parametrize(
    "listed",
    [{"a": {}}, {"a": {"bytes": -1, "sha256": "0" * 64}}, {"a": {"bytes": 1, "sha256": "no"}}, ["a"], None],
)
def test_a_damaged_list_is_refused(tmp_path: Path, listed: Any) -> None:
    with pytest.raises(DataError):
        restore(forged(tmp_path / "b.tar", [], listed), tmp_path / "back", progressed=silent)


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = forged(tmp_path / "b.tar", [], {"a": {"bytes": 1 << 60, "sha256": "0" * 64}})
    with pytest.raises(UsageError, match="free"):
        restore(path, tmp_path / "back", progressed=silent)


def test_a_damaged_archive_that_somebody_packed_otherwise_is_told_so(run: Path, tmp_path: Path) -> None:
    raw = bytearray(lzma.compress(packed(run, tmp_path / "b", compressed=False).read_bytes()))
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "b.tar.xz").write_bytes(bytes(raw))
    with pytest.raises(DataError, match="damaged"):
        restore(tmp_path / "b.tar.xz", tmp_path / "back", progressed=silent)


def test_what_is_no_backup_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "zip.gz").write_bytes(gzip.compress(zlib.compress(b"x")))
    for name in ("text", "zip.gz"):
        with pytest.raises(DataError):
            restore(tmp_path / name, tmp_path / "back", progressed=silent)
    with pytest.raises(UsageError, match="no backup"):
        restore(tmp_path / "nothing", tmp_path / "back", progressed=silent)


def test_a_folder_that_exists_is_never_restored_into(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        restore(packed(run, tmp_path / "b"), run, progressed=silent)
