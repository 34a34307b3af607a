"""The card is watched where there is one, in whatever health, and nowhere does watching fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.watch.nvml import Nvml

GB = 1 << 30


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class FakeNvml:
    """pynvml with two cards; `mode` is healthy, ecc, lost, bare (offers nothing) or no_driver."""

    NVMLError = NVMLError
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_VOLATILE_ECC = 0
    UUIDS = ("GPU-aaaa1111-0000", "GPU-bbbb2222-0000")

    def __init__(self, mode: str = "healthy", cards: int = 2) -> None:
        self.mode = mode
        self.cards = cards
        self.open = 0
        self.ecc = 3

    def _answer(self, value: Any) -> Any:
        if self.mode == "lost":
            raise NVMLError(15)
        if self.mode == "bare":
            raise NVMLError(3)
        return value

    def nvmlInit(self) -> None:
        if self.mode == "no_driver":
            raise NVMLError(9)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return self.cards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> int:
        if uuid == b"MIG-cccc":
            return 7
        raise NVMLError(6)

    def nvmlDeviceGetName(self, handle: int) -> Any:
        return self._answer(b"NVIDIA H100 80GB HBM3")

    def nvmlDeviceGetUUID(self, handle: int) -> Any:
        return self._answer(self.UUIDS[handle] if handle < 2 else "MIG-cccc")

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return self._answer(SimpleNamespace(used=60 * GB, total=80 * GB))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return self._answer(SimpleNamespace(gpu=97, memory=40))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> Any:
        return self._answer(654_300)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> Any:
        return self._answer(700_000)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> Any:
        return self._answer(66)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> Any:
        return self._answer(1755)

    def nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int) -> Any:
        return self._answer(self.ecc)


def opened(library: FakeNvml, visible: str | None = None) -> Nvml:
    nvml = Nvml.open(library, visible)
    assert nvml is not None
    return nvml


def test_a_healthy_card_gives_every_value_in_its_unit() -> None:
    (device,) = opened(FakeNvml()).sample().devices
    assert (device.index, device.uuid, device.name) == (0, "GPU-aaaa1111-0000", "NVIDIA H100 80GB HBM3")
    assert (device.memory_used, device.memory_total) == (60 * GB, 80 * GB)
    assert (device.utilisation, device.power_w, device.power_limit_w) == (97.0, 654.3, 700.0)
    assert (device.temperature_c, device.sm_mhz) == (66.0, 1755.0)


@pytest.mark.parametrize(
    ("visible", "uuid"),
    [
        (None, "GPU-aaaa1111-0000"),
        ("0", "GPU-aaaa1111-0000"),
        ("1", "GPU-bbbb2222-0000"),
        ("1,0", "GPU-bbbb2222-0000"),
        (" 1 , 0", "GPU-bbbb2222-0000"),
        ("GPU-bbbb2222-0000", "GPU-bbbb2222-0000"),
        ("GPU-bbbb", "GPU-bbbb2222-0000"),
        ("MIG-cccc", "MIG-cccc"),
    ],
)
def test_the_card_watched_is_the_one_cuda_will_use(visible: str | None, uuid: str) -> None:
    (device,) = opened(FakeNvml(), visible).sample().devices
    assert device.uuid == uuid


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-", "GPU-zzzz", "MIG-zzzz", "none"])
def test_where_cuda_sees_no_card_none_is_watched(visible: str) -> None:
    library = FakeNvml()
    assert Nvml.open(library, visible) is None
    assert library.open == 0


def test_the_environment_decides_when_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    (device,) = opened(FakeNvml()).sample().devices
    assert device.index == 1


def test_without_a_driver_there_is_nothing_to_watch() -> None:
    assert Nvml.open(FakeNvml("no_driver")) is None


def test_without_the_library_there_is_nothing_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert Nvml.open() is None


def test_without_cards_there_is_nothing_to_watch() -> None:
    library = FakeNvml(cards=0)
    assert Nvml.open(library) is None
    assert library.open == 0


def test_values_that_a_card_does_not_offer_are_none() -> None:
    nvml = opened(FakeNvml("bare"), "0")
    (device,) = nvml.sample().devices
    assert device.name == "GPU 0"
    assert (device.utilisation, device.power_w, device.temperature_c, device.memory_total) == (None, None, None, 0)
    assert nvml.troubles() == []


def test_a_card_that_falls_off_the_bus_is_reported_once_and_left_out() -> None:
    library = FakeNvml()
    nvml = opened(library)
    nvml.sample()
    library.mode = "lost"
    assert nvml.sample().devices == ()
    assert nvml.sample().devices == ()
    (trouble,) = nvml.troubles()
    assert "GPU 0" in trouble
    assert "lost" in trouble
    assert nvml.troubles() == []
    nvml.close()


def test_uncorrected_memory_errors_of_this_run_are_reported_and_old_ones_are_not() -> None:
    library = FakeNvml()
    nvml = opened(library)
    nvml.sample()
    assert nvml.troubles() == []
    library.ecc += 2
    nvml.sample()
    nvml.sample()
    (trouble,) = nvml.troubles()
    assert "2 uncorrected memory errors" in trouble


def test_the_real_library_is_handled_on_this_machine_too() -> None:
    nvml = Nvml.open()
    if nvml is not None:
        assert nvml.sample().devices
        nvml.close()
