"""The machine beside the card: processors, memory and disk, as far as this run may use them."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from states.events import HostSampled

_CGROUP = Path("/sys/fs/cgroup")


class Host:
    """Samples the host; the disk is the one that holds the run directory."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._process = psutil.Process()
        # The first reading of these two has nothing to compare with and would be 0.
        psutil.cpu_percent()
        self._process.cpu_percent()

    def sample(self) -> HostSampled:
        """Load since the last sample, memory and disk now."""
        memory = psutil.virtual_memory()
        used, total = memory.total - memory.available, memory.total
        limit = _container_memory()
        if limit is not None and limit[1] < total:
            used, total = limit
        return HostSampled(
            cpu_percent=psutil.cpu_percent(),
            process_percent=self._process.cpu_percent(),
            rss=self._process.memory_info().rss,
            memory_used=used,
            memory_total=total,
            disk_free=shutil.disk_usage(self._run).free,
        )


def _container_memory(cgroup: Path = _CGROUP) -> tuple[int, int] | None:
    """(used, limit) in bytes of the container that this process is in, or None where nothing limits it.

    Page cache that can be dropped is not counted as used (cgroup v2, kernel documentation, memory.stat).
    """
    try:
        limit = int((cgroup / "memory.max").read_text())
        current = int((cgroup / "memory.current").read_text())
        facts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return current - int(facts["inactive_file"]), limit
    except (OSError, ValueError, KeyError):
        return None
