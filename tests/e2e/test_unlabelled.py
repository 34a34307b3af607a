"""A run on conversations without a domain: grouped by wording, said so, and its routers start from conversations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from states.events import DataPrepared, EvalCompleted, MessageLogged

pytestmark = pytest.mark.usefixtures("unsynced")


def test_unlabelled_data_trains_in_groups_that_are_said_to_be_stints(
    bench: Any, tiny_dataset: Path, tmp_path: Path, typed: Callable[..., Any]
) -> None:
    loaded = json.loads(tiny_dataset.read_text())
    rows = loaded["conversations"] if isinstance(loaded, dict) else loaded
    bare = [{"text": f"{row['text']} {again}"} for again in range(3) for row in rows]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(bare))
    choice = {"dataset": path, "manual": True, "overrides": ("training.num_train_epochs=1",)}
    assert bench.go(**choice) == 0
    [prepared] = bench.events(DataPrepared)
    assert set(prepared.domains) == {"cluster-1", "cluster-2", "cluster-3", "cluster-4"}
    assert any("These are no labels of the data." in note for note in prepared.notes)
    assert not any("Routers start at random" in event.text for event in bench.events(MessageLogged))
    assert all(math.isfinite(event.loss) for event in bench.events(EvalCompleted))
