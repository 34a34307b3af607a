"""What the kernel knows about a process: exact counts, read from /proc without disturbing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counters of one process since its start, all threads together."""

    cpu_s: float
    """Seconds on a processor, user and system, in nanosecond steps: the ticks of /proc/PID/stat are too coarse here."""
    read_calls: int
    write_calls: int
    written_bytes: int
    """Bytes handed to write(), to files, sockets and terminals."""
    disk_bytes: int
    """Bytes sent towards a disk."""
    threads: int


def usage(pid: int) -> Usage:
    """Read the counters of `pid`. A thread that has ended no longer counts towards its processor time."""
    process = Path("/proc") / str(pid)
    tasks = list((process / "task").iterdir())
    io = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
    return Usage(
        cpu_s=sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9,
        read_calls=int(io["syscr"]),
        write_calls=int(io["syscw"]),
        written_bytes=int(io["wchar"]),
        disk_bytes=int(io["write_bytes"]),
        threads=len(tasks),
    )
