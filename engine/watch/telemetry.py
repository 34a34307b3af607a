"""One thread that reads the card every second and the host every other second."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from engine.run.bus import Bus
from engine.run.journal import JournalError
from engine.watch.host import Host
from engine.watch.nvml import Nvml
from states.events import MessageLogged

log = logging.getLogger("stint.telemetry")

PERIOD_S = 1.0
HOST_EVERY = 2
_PATIENCE = 5
"""Failures in a row after which there is no point in asking on."""


class Telemetry:
    """Emits `gpu.sampled` and `host.sampled` while its block lasts. `nvml` is None where there is no card."""

    def __init__(self, bus: Bus, nvml: Nvml | None, host: Host) -> None:
        self._bus = bus
        self._nvml = nvml
        self._host = host
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread and wait for it; nothing is emitted afterwards."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        round_, failures = 0, 0
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            # After a suspended process there is nothing to catch up with.
            due = max(due + PERIOD_S, time.monotonic())
            try:
                looked = self._look(with_host=round_ % HOST_EVERY == 0)
                failures = 0 if looked else failures
            except JournalError:
                return
            except Exception as error:  # noqa: BLE001  (whatever a driver does, training goes on)
                failures += 1
                if failures >= _PATIENCE:
                    log.warning("telemetry stopped: %s: %s", type(error).__name__, error)
                    return
            round_ += 1

    def _look(self, *, with_host: bool) -> bool:
        if self._nvml is not None:
            self._bus.emit(self._nvml.sample())
            for trouble in self._nvml.troubles():
                self._bus.emit(MessageLogged(level="ERROR", logger="stint.gpu", text=trouble))
        if with_host:
            self._bus.emit(self._host.sample())
        return with_host or self._nvml is not None
