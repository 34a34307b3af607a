"""What watches must not cost a start, nor need what it watches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["nvml", "host", "telemetry", "console", "logfile", "story", "messages", "tracker"])
def test_watching_brings_in_neither_torch_nor_wandb_nor_a_driver(module: str) -> None:
    script = (
        f"import engine.watch.{module}, sys\n"
        "print(*sorted({'torch', 'transformers', 'wandb', 'textual', 'pynvml'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
