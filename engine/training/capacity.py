"""How much memory there is to train in: the card's, or what this process may take of the machine's."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

IDLE_BYTES = 2_000_000_000
"""A card with less in use than this is ours: drivers and our own context take some."""

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit(device: torch.device) -> int:
    """Return bytes: all of an idle card, what others leave of a busy one; on a CPU what is available to us."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(total if total - free < IDLE_BYTES else free)
    available = int(psutil.virtual_memory().available)
    return min([available, *(limit for limit in map(_limit, _CGROUP_LIMITS) if limit is not None)])


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
