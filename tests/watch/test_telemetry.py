"""Host and card are sampled by the clock until the run says stop."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.run.bus import Bus
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.watch import host as host_module
from engine.watch import telemetry as telemetry_module
from engine.watch.host import Host
from engine.watch.telemetry import Telemetry
from states.events import GpuDevice, GpuSampled, HostSampled, MessageLogged


class Card:
    def __init__(self) -> None:
        self.trouble: list[str] = []

    def sample(self) -> GpuSampled:
        return GpuSampled(devices=(GpuDevice(index=0, uuid="GPU-1", name="card", memory_used=1, memory_total=2),))

    def troubles(self) -> list[str]:
        told, self.trouble = self.trouble, []
        return told


def kinds(rundir: RunDir) -> list[str]:
    return [record.event.kind for record in read(rundir.events)]


def test_the_host_is_described_in_bytes_and_percent(tmp_path: Path) -> None:
    host = Host(tmp_path)
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        sum(range(1000))
    sample = host.sample()
    assert 0 < sample.cpu_percent <= 100
    assert sample.process_percent > 20
    assert 1e6 < sample.rss < sample.memory_total
    assert 0 < sample.memory_used <= sample.memory_total
    assert sample.disk_free > 0


def test_in_a_container_its_own_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("4096000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 1000000\nslab 3\n")
    assert host_module._container_memory(tmp_path) == (2000000, 4096000)
    (tmp_path / "memory.max").write_text("max\n")
    assert host_module._container_memory(tmp_path) is None
    assert host_module._container_memory(tmp_path / "none") is None


def test_the_card_is_sampled_every_period_and_the_host_every_other(
    bus: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry_module, "PERIOD_S", 0.02)
    card: Any = Card()
    card.trouble = ["the card coughs"]
    with Telemetry(bus, card, Host(rundir.path)):
        time.sleep(0.5)
    seen = kinds(rundir)
    gpus, hosts = seen.count("gpu.sampled"), seen.count("host.sampled")
    assert gpus >= 5
    assert abs(gpus - 2 * hosts) <= 1
    troubles = [record.event for record in read(rundir.events) if isinstance(record.event, MessageLogged)]
    assert [(event.level, event.text) for event in troubles] == [("ERROR", "the card coughs")]
    time.sleep(0.1)
    assert kinds(rundir) == seen, "nothing is emitted after the block"


def test_without_a_card_the_host_alone_is_sampled(bus: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "PERIOD_S", 0.01)
    with Telemetry(bus, None, Host(rundir.path)):
        time.sleep(0.2)
    assert set(kinds(rundir)) == {"host.sampled"}


def test_a_source_that_keeps_failing_is_given_up_and_said(
    bus: Bus, rundir: RunDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry_module, "PERIOD_S", 0.001)

    class Broken:
        def sample(self) -> HostSampled:
            raise OSError("the disk is gone")

    broken: Any = Broken()
    telemetry = Telemetry(bus, None, broken)
    with telemetry:
        telemetry._thread.join(5.0)
        assert not telemetry._thread.is_alive()
    assert "telemetry stopped: OSError: the disk is gone" in caplog.text


def test_it_ends_when_the_journal_is_closed_under_it(rundir: RunDir, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "PERIOD_S", 0.001)
    telemetry = Telemetry(bus, None, Host(rundir.path))
    with telemetry:
        bus.close()
        telemetry._thread.join(5.0)
        assert not telemetry._thread.is_alive()


def test_stopping_before_starting_and_twice_is_harmless(bus: Bus, tmp_path: Path) -> None:
    before = threading.active_count()
    telemetry = Telemetry(bus, None, Host(tmp_path))
    telemetry.stop()
    telemetry.stop()
    assert threading.active_count() == before
    assert os.getpid()
