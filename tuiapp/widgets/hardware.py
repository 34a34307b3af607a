"""The machine: the cards the run uses, or the host where there is no card."""

from __future__ import annotations

from rich.style import Style

from states.events import GpuDevice
from states.view import Host
from states.wording import size
from tuiapp import format as fmt
from tuiapp import ink
from tuiapp.frame import Frame
from tuiapp.ink import Row, clip, say
from tuiapp.meter import bar, recent, spark
from tuiapp.widgets.panel import Sheet

BUSY = 0.80
"""A card used less than this is worth a look: something else holds training back."""
HOT_C = 83.0
"""Where data-centre cards begin to slow themselves down."""
FULL = 0.95
LOW_DISK = 20 * 2**30
"""Free bytes under which the next checkpoints of a 12B run may not fit."""


def paint(frame: Frame, width: int, height: int) -> Sheet:
    """Bars with numbers, four to a card or to the host."""
    gpus, host = frame.view.gpus, frame.view.host
    if gpus:
        name = " + ".join(dict.fromkeys(device.name for device in gpus))
        many = f"{len(gpus)} x " if len(gpus) > 1 else ""
        title = say(("gpu ", ink.TITLE), (clip(many + name, max(4, width - 8), frame.glyphs.ellipsis), ink.PLAIN))
        if len(gpus) == 1:
            return Sheet(title=title, body=_card(gpus[0], host, frame, width, height))
        return Sheet(title=title, body=[_short(device, frame, width) for device in gpus][:height])
    title = say(("machine", ink.TITLE))
    if host is None:
        return Sheet(title=title, body=[say(("no measurement yet", ink.FAINT))])
    return Sheet(title=title, caption=say(("no gpu", ink.FAINT)), body=_host(host, frame, width, height))


def _meter(name: str, share: float | None, number: str, width: int, style: Style, frame: Frame, room: int) -> Row:
    """`util  ======----  97%`, the number right-aligned in `room` cells."""
    length = max(4, width - 6 - room - 1)
    row = say((f"{name:<6}", ink.LABEL))
    row += bar(share, length, style, frame.glyphs)
    return [*row, *say((f" {number:>{room}}", ink.BRIGHT))]


def _level(share: float | None, high: float) -> Style:
    return ink.WARN if share is not None and share >= high else ink.NOTE


def _card(device: GpuDevice, host: Host | None, frame: Frame, width: int, height: int) -> list[Row]:
    use = None if device.utilisation is None else device.utilisation / 100
    memory = device.memory_used / device.memory_total if device.memory_total else None
    power = None if not device.power_limit_w or device.power_w is None else device.power_w / device.power_limit_w
    heat = None if device.temperature_c is None else device.temperature_c / 100
    hot = device.temperature_c is not None and device.temperature_c >= HOT_C
    roomy = width >= 44
    room = 16 if roomy else 10
    memory_text = f"{fmt.gib(device.memory_used)}/{fmt.gib(device.memory_total)}" + (" GiB" if roomy else "G")
    watts = fmt.UNKNOWN if device.power_w is None else f"{device.power_w:.0f}"
    limit = f"/{device.power_limit_w:.0f}" if device.power_limit_w else ""
    degrees = fmt.UNKNOWN if device.temperature_c is None else f"{device.temperature_c:.0f} C"
    degrees += f" {frame.glyphs.warn} hot" if hot else ""
    trail = min(20, (width - 40) // 2) if width >= 50 else 0
    util = _meter(
        "util", use, fmt.percent(use), width - trail, ink.NOTE if use is None or use >= BUSY else ink.WARN, frame, room
    )
    if trail:
        util += spark(recent(frame.view.gpu_utilisation, trail - 1), trail, ink.BAND, frame.glyphs)
    rows = [
        util,
        _meter("mem", memory, memory_text, width, _level(memory, FULL), frame, room),
        _meter("power", power, f"{watts}{limit}{' W' if roomy else 'W'}", width, ink.NOTE, frame, room),
        _meter("temp", heat, degrees, width, ink.BAD if hot else ink.NOTE, frame, room),
    ]
    if height < 4:
        merged = say(
            (f"{'power':<6}", ink.LABEL),
            (f"{watts}{limit}W", ink.BRIGHT),
            ("  ", ink.PLAIN),
            (degrees, ink.BAD if hot else ink.BRIGHT),
        )
        return [rows[0], rows[1], merged][:height]
    if height >= 5:
        parts: list[tuple[str, Style]] = []
        if device.sm_mhz is not None:
            parts += [("clock ", ink.LABEL), (f"{device.sm_mhz:,.0f} MHz  ", ink.PLAIN)]
        if host is not None:
            parts += [("cpu ", ink.LABEL), (f"{host.cpu_percent:.0f}%  ", ink.PLAIN)]
            parts += [("disk ", ink.LABEL), *_disk(host, frame)]
        rows.append(say(*parts))
    return rows[:height]


def _short(device: GpuDevice, frame: Frame, width: int) -> Row:
    use = None if device.utilisation is None else device.utilisation / 100
    numbers = f"{fmt.percent(use):>4} {fmt.gib(device.memory_used)}G"
    if width >= 44 and device.power_w is not None:
        numbers += f" {device.power_w:.0f}W"
    if device.temperature_c is not None:
        numbers += f" {device.temperature_c:.0f}C"
    return _meter(f"gpu{device.index}", use, numbers, width, ink.NOTE, frame, max(16, len(numbers)))


def _host(host: Host, frame: Frame, width: int, height: int) -> list[Row]:
    cpu = host.cpu_percent / 100
    memory = host.memory_used / host.memory_total if host.memory_total else None
    mine = host.rss / host.memory_total if host.memory_total else None
    roomy = width >= 44
    room = 18 if roomy else 10
    total = f"{fmt.gib(host.memory_used)}/{fmt.gib(host.memory_total)}" + (" GiB" if roomy else "G")
    disk = say((f"{'disk':<6}", ink.LABEL), *_disk(host, frame))
    threads = f"{host.process_percent / 100:.1f} cores  " if roomy else ""
    rows = [
        _meter("cpu", cpu, f"{threads}{host.cpu_percent:.0f}%", width, ink.NOTE, frame, room),
        _meter("mem", memory, total, width, _level(memory, FULL), frame, room),
        _meter("rss", mine, fmt.bytes_(host.rss), width, ink.NOTE, frame, room),
        disk,
    ]
    if height < 4:
        rows.pop(2)
    if height >= 5:
        rows.append(
            [
                *say((f"{'load':<6}", ink.LABEL)),
                *spark(recent(frame.view.host_cpu, width - 6), width - 6, ink.HAZE, frame.glyphs, floor=0.0),
            ]
        )
    return rows[:height]


def _disk(host: Host, frame: Frame) -> list[tuple[str, Style]]:
    if host.disk_free < LOW_DISK:
        return [(f"{frame.glyphs.warn} {size(host.disk_free)} free", ink.WARN)]
    return [(size(host.disk_free), ink.BRIGHT), (" free", ink.LABEL)]
