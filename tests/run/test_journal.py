"""A journal keeps every whole record through crashes, and everyone who reads it agrees on what it holds."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from engine.run.journal import Follower, Journal, JournalError, read
from states.codec import encode
from states.events import MessageLogged, Record, StepCompleted


def record(seq: int, text: str = "hello") -> Record:
    event = MessageLogged(level="WARNING", logger="test", text=text)
    return Record(seq=seq, wall=1000.0 + seq, mono=float(seq), event=event)


def step(seq: int) -> Record:
    event = StepCompleted(
        step=seq, epoch=0.1, loss=None, lr=1e-4, grad_norm=1.0, tokens=9, targets=4, step_s=0.1, data_s=0.01
    )
    return Record(seq=seq, wall=1000.0 + seq, mono=float(seq), event=event)


def write(path: Path, count: int) -> list[Record]:
    journal = Journal.open(path)
    records = [(step if journal.next_seq % 2 else record)(journal.next_seq + i) for i in range(count)]
    for item in records:
        journal.append(encode(item))
    journal.close()
    return records


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = write(path, 5)
    assert list(read(path)) == records


def test_a_torn_tail_is_cut_off_at_every_byte_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some hundred openings: the disk need not make room for each.
    monkeypatch.setattr("engine.run.journal.BALLAST_BYTES", 1)
    path = tmp_path / "events.jsonl"
    records = write(path, 4)
    whole = path.read_bytes()
    ends = [0, *(i + 1 for i, byte in enumerate(whole) if byte == ord("\n"))]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        assert list(read(path)) == records[:kept]
        journal = Journal.open(path)
        journal.close()
        assert journal.next_seq == kept
        assert path.read_bytes() == whole[: ends[kept]]
        assert (journal.recovered is None) == (cut in ends)
    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_zeros_that_a_power_cut_left_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = write(path, 3)
    with path.open("ab") as file:
        file.write(b"\0" * 700 + b"\n" + b"\0" * 30)
    journal = Journal.open(path)
    journal.close()
    assert journal.recovered is not None
    assert "731 bytes" in journal.recovered
    assert list(read(path)) == records


def test_two_attempts_number_their_records_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = write(path, 3)
    with path.open("ab") as file:
        file.write(b'{"crc":"torn')
    second = write(path, 3)
    assert list(read(path)) == first + second
    assert [item.seq for item in read(path)] == [0, 1, 2, 3, 4, 5]


def test_damage_before_the_tail_keeps_the_original_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = write(path, 6)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"\n") + 40] ^= 1
    path.write_bytes(damaged)
    assert list(read(path)) == records[:1]
    journal = Journal.open(path)
    journal.close()
    assert journal.recovered is not None
    assert "events.jsonl.corrupt-1" in journal.recovered
    assert (tmp_path / "events.jsonl.corrupt-1").read_bytes() == bytes(damaged)
    assert list(read(path)) == records[:1]


def test_a_second_damage_does_not_overwrite_the_first_original(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for number in (1, 2):
        write(path, 3)
        body = bytearray(path.read_bytes())
        body[30] ^= 4
        path.write_bytes(body)
        Journal.open(path).close()
        assert (tmp_path / f"events.jsonl.corrupt-{number}").exists()


def test_a_line_out_of_sequence_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(record(0)) + encode(record(1)) + encode(record(3)))
    assert [item.seq for item in read(path)] == [0, 1]


def test_lines_longer_than_what_is_read_at_once_hold(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = [record(0), record(1, "x" * (3 << 20)), record(2)]
    path.write_bytes(b"".join(map(encode, records)))
    assert list(read(path)) == records


class FullDisk:
    """os.write on a disk with `room` bytes left, as the kernel does it: first a short write, then ENOSPC."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.real = os.write

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self.real(descriptor, bytes(data)[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_does_not_end_the_run_as_long_as_the_ballast_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal.open(path)
    disk = FullDisk(room=20)
    monkeypatch.setattr(os, "write", disk)
    real_unlink = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name.endswith(".ballast") and self.exists():
            disk.room = 1 << 20
        real_unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    journal.append(encode(record(0)))
    journal.append(encode(record(1)))
    assert journal.disk_full
    assert [item.seq for item in read(path)] == [0, 1]

    disk.room = 10
    with pytest.raises(JournalError, match="No space left"):
        journal.append(encode(record(2)))
    assert [item.seq for item in read(path)] == [0, 1]
    assert path.read_bytes().endswith(b"\n")
    journal.close()


def test_the_ballast_is_real_space_and_goes_with_the_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "events.jsonl")
    (ballast,) = tmp_path.glob(".*.ballast")
    assert ballast.stat().st_blocks * 512 >= 16 << 20
    journal.close()
    assert not ballast.exists()


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(tmp_path / "missing" / "events.jsonl")


def test_a_follower_survives_the_file_not_being_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Follower(path) as follower:
        assert follower.poll() == []
        records = write(path, 2)
        assert follower.poll() == records
        assert follower.poll() == []


def test_a_follower_returns_only_whole_lines_whatever_is_written_when(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = write(path, 3)
    whole = path.read_bytes()
    path.write_bytes(b"")
    seen: list[Record] = []
    with Follower(path) as follower, path.open("ab", buffering=0) as file:
        for i in range(len(whole)):
            file.write(whole[i : i + 1])
            seen += follower.poll()
            assert len(seen) == whole[: i + 1].count(b"\n")
        assert follower.generation == 0
    assert seen == records


def test_a_follower_takes_a_long_journal_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records = write(path, 25)
    with Follower(path) as follower:
        batches = [follower.poll(limit=10) for _ in range(4)]
    assert [len(batch) for batch in batches] == [10, 10, 5, 0]
    assert [item for batch in batches for item in batch] == records


def test_a_follower_goes_on_where_a_restarted_engine_cut_the_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = write(path, 3)
    with Follower(path) as follower:
        with path.open("ab") as file:
            file.write(encode(record(3))[:-9] + b"garbage\n" + b"torn")
        assert follower.poll() == first
        assert follower.poll() == []
        second = write(path, 2)
        assert follower.poll() == second
        assert follower.generation == 0


def test_a_follower_starts_over_when_delivered_records_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = write(path, 6)
    with Follower(path) as follower:
        assert follower.poll() == first
        keep = len(encode(first[0]))
        os.truncate(path, keep)
        rewritten = write(path, 20)
        assert follower.poll() == first[:1] + rewritten
        assert follower.generation == 1


def test_a_follower_starts_over_when_the_run_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = write(path, 4)
    with Follower(path) as follower:
        assert follower.poll() == first
        path.unlink()
        assert follower.poll() == []
        again = write(path, 2)
        assert follower.poll() == again
        assert follower.generation == 1


def test_a_follower_sees_exactly_what_a_reader_sees_under_concurrent_appends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    done = threading.Event()

    def engine() -> None:
        journal = Journal.open(path)
        for i in range(3000):
            journal.append(encode(step(i)))
        journal.close()
        done.set()

    writer = threading.Thread(target=engine)
    writer.start()
    seen: list[Record] = []
    pick = random.Random(0)
    with Follower(path) as follower:
        while not done.is_set():
            seen += follower.poll(limit=pick.randint(1, 400))
        writer.join()
        while batch := follower.poll():
            seen += batch
    assert seen == list(read(path))
    assert len(seen) == 3000
