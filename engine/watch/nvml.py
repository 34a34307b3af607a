"""The graphics card as its driver sees it, through NVML.

No library, no driver, no card: `Nvml.open` gives None and the run goes on. Any single value that a card does not
offer is None in the sample, never an error.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from states.events import GpuDevice, GpuSampled

_MILLI = 1000.0


class Nvml:
    """A running NVML session that watches the card this process trains on."""

    def __init__(self, library: Any, cards: list[tuple[int, Any]]) -> None:
        """Use `Nvml.open`."""
        self._library = library
        self._cards = [_Card(library, index, handle) for index, handle in cards]

    @classmethod
    def open(cls, library: Any = None, visible: str | None = None) -> Nvml | None:
        """Start NVML, or None where there is nothing to watch.

        Training uses one card: the first that CUDA_VISIBLE_DEVICES (or `visible`) admits. NVML counts cards by PCI
        bus, as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID; on machines with unlike cards set that, or use a UUID.
        """
        try:
            library = library or importlib.import_module("pynvml")
            library.nvmlInit()
        except Exception:  # noqa: BLE001  (a broken driver installation fails in many ways; all mean: no card)
            return None
        try:
            wanted = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
            cards = _visible(library, wanted)[:1]
        except library.NVMLError:
            cards = []
        if not cards:
            library.nvmlShutdown()
            return None
        return cls(library, cards)

    def sample(self) -> GpuSampled:
        """What the card says now; one that has fallen off the bus is left out."""
        samples = [card.sample() for card in self._cards]
        return GpuSampled(devices=tuple(sample for sample in samples if sample is not None))

    def troubles(self) -> list[str]:
        """Sentences on what went wrong with the card since this was last asked."""
        return [trouble for card in self._cards for trouble in card.troubles()]

    def close(self) -> None:
        """End the session."""
        try:
            self._library.nvmlShutdown()
        except self._library.NVMLError:
            # The driver is gone; there is no session to end.
            return


class _Card:
    """One device and what is known to be wrong with it."""

    def __init__(self, library: Any, index: int, handle: Any) -> None:
        self._library = library
        self._index = index
        self._handle = handle
        self._lost = False
        self._untold: list[str] = []
        self._name = _text(self._ask(library.nvmlDeviceGetName)) or f"GPU {index}"
        self._uuid = _text(self._ask(library.nvmlDeviceGetUUID)) or ""
        self._ecc_errors = self._uncorrected() or 0

    def sample(self) -> GpuDevice | None:
        library = self._library
        memory = self._ask(library.nvmlDeviceGetMemoryInfo)
        rates = self._ask(library.nvmlDeviceGetUtilizationRates)
        power = self._ask(library.nvmlDeviceGetPowerUsage)
        limit = self._ask(library.nvmlDeviceGetEnforcedPowerLimit)
        temperature = self._ask(library.nvmlDeviceGetTemperature, library.NVML_TEMPERATURE_GPU)
        clock = self._ask(library.nvmlDeviceGetClockInfo, library.NVML_CLOCK_SM)
        self._watch_memory_errors()
        if self._lost:
            return None
        return GpuDevice(
            index=self._index,
            uuid=self._uuid,
            name=self._name,
            # Cards that share the host's memory report none of their own.
            memory_used=int(memory.used) if memory is not None else 0,
            memory_total=int(memory.total) if memory is not None else 0,
            utilisation=_number(rates.gpu if rates is not None else None),
            power_w=_number(power, _MILLI),
            power_limit_w=_number(limit, _MILLI),
            temperature_c=_number(temperature),
            sm_mhz=_number(clock),
        )

    def troubles(self) -> list[str]:
        told, self._untold = self._untold, []
        return told

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        if self._lost:
            return None
        try:
            return question(self._handle, *arguments)
        except self._library.NVMLError as error:
            if getattr(error, "value", None) == self._library.NVML_ERROR_GPU_IS_LOST:
                self._lost = True
                self._untold.append(
                    f"GPU {self._index} ({self._name}) is lost: it has fallen off the bus; nothing computed on it from "
                    "here on can be trusted, the machine needs a reset"
                )
            return None

    def _uncorrected(self) -> int | None:
        library = self._library
        count = self._ask(
            library.nvmlDeviceGetTotalEccErrors, library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, library.NVML_VOLATILE_ECC
        )
        return None if count is None else int(count)

    def _watch_memory_errors(self) -> None:
        count = self._uncorrected()
        if count is not None and count > self._ecc_errors:
            self._untold.append(
                f"GPU {self._index} ({self._name}): {count - self._ecc_errors} uncorrected memory errors; the last "
                "steps may be wrong, resume from the checkpoint before them if the loss jumps"
            )
            self._ecc_errors = count


def _visible(library: Any, wanted: str | None) -> list[tuple[int, Any]]:
    """(index, handle) of the cards that CUDA would see, in its order."""
    count = library.nvmlDeviceGetCount()
    everything = [(index, library.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    if wanted is None:
        return everything
    chosen: list[tuple[int, Any]] = []
    for token in (part.strip() for part in wanted.split(",")):
        found = _match(library, everything, token)
        if found is None:
            # CUDA ignores an invalid entry and everything after it.
            break
        chosen.append(found)
    return chosen


def _match(library: Any, everything: list[tuple[int, Any]], token: str) -> tuple[int, Any] | None:
    if token.isdigit():
        return everything[int(token)] if int(token) < len(everything) else None
    if token.startswith("MIG-"):
        try:
            return 0, library.nvmlDeviceGetHandleByUUID(token.encode())
        except library.NVMLError:
            return None
    if token.startswith("GPU-"):
        # CUDA takes any unambiguous beginning of a UUID.
        owners = [card for card in everything if (_text(library.nvmlDeviceGetUUID(card[1])) or "").startswith(token)]
        return owners[0] if len(owners) == 1 else None
    return None


def _text(value: Any) -> str | None:
    # Older bindings answer in bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _number(value: Any, divisor: float = 1.0) -> float | None:
    return None if value is None else float(value) / divisor
