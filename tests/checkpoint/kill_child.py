"""Save steps 1 to 6 of a run, keep two, and be killed for real at operation K: `python kill_child.py RUN K`."""

from __future__ import annotations

import sys
from pathlib import Path

from faults import FaultyFiles

from engine.checkpoint.manifest import Meta
from engine.checkpoint.retention import prune
from engine.checkpoint.store import save
from engine.checkpoint.tidy import tidy
from states.phases import Cause

run, files = Path(sys.argv[1]), FaultyFiles(int(sys.argv[2]), "kill")
tidy(run, files=files)
for step in (1, 2, 3, 3, 4, 5, 6):
    data = f"state of step {step}".encode() * 1000
    save(
        run,
        step,
        {"state.safetensors": lambda path, data=data: path.write_bytes(data) and None},
        cause=Cause.SCHEDULE,
        meta=Meta(run_id="r", config_hash="c", eval_loss=5.0 - step if step < 3 else 4.0),
        files=files,
    )
    print(step, flush=True)
    prune(run, 2, files=files)
