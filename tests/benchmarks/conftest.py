"""The benchmarks are scripts beside each other: their folder is on the path when one runs, and so it is here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
