"""What is measured leaves nothing behind, and what cannot be measured is said to be unknown."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.training import calibrate, capacity
from engine.training.calibrate import save_seconds
from engine.training.capacity import memory_limit


def test_the_disk_is_measured_with_a_file_that_goes_again(tmp_path):
    took = save_seconds(tmp_path, 200_000)
    assert took is not None
    assert 0.0 < took < 10.0
    assert list(tmp_path.iterdir()) == []


def test_a_large_checkpoint_is_priced_by_a_part_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "PROBE_BYTES", 1000)
    sizes = []
    write = calibrate.os.write

    def watched(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(calibrate.os, "write", watched)
    clock = iter([0.0, 2.0])
    monkeypatch.setattr(calibrate.time, "perf_counter", lambda: next(clock))
    assert save_seconds(tmp_path, 5000) == 10.0
    assert sum(sizes) == 1000


def test_a_place_that_cannot_be_written_has_no_speed(tmp_path, monkeypatch):
    assert save_seconds(tmp_path / "nowhere", 100) is None

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibrate.os, "write", full)
    assert save_seconds(tmp_path, 100) is None
    assert list(tmp_path.iterdir()) == []


def test_a_container_has_no_more_memory_than_it_was_given(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    free = memory_limit(cpu)
    assert free > 0
    for number, text in enumerate(["max", "123456\n", "nonsense", ""]):
        (tmp_path / f"{number}").write_text(text)
    monkeypatch.setattr(capacity, "_CGROUP_LIMITS", tuple(tmp_path / f"{number}" for number in range(4)))
    assert memory_limit(cpu) == 123456
    monkeypatch.setattr(capacity, "_CGROUP_LIMITS", (Path("/nowhere"),))
    assert memory_limit(cpu) > 123456


def test_an_idle_card_is_ours_and_a_busy_one_is_what_is_left(monkeypatch):
    for free, counted in ((79, 80), (50, 50)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free * 10**9, 80 * 10**9))
        assert memory_limit(torch.device("cuda", 0)) == counted * 10**9
