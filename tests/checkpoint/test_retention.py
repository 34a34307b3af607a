"""Retention never takes the best, the newest, or the last sound checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.files import DISK, Files
from engine.checkpoint.manifest import MANIFEST
from engine.checkpoint.retention import prune, to_prune
from engine.checkpoint.verify import Found, Verdict


def item(step: int, ok: bool) -> Found:
    return Found(
        path=Path(f"checkpoint-{step}"), step=step, verdict=Verdict(problems=() if ok else ("bad",), manifest=None)
    )


CHECKPOINTS = st.dictionaries(st.integers(0, 10**6), st.booleans(), max_size=12).map(
    lambda found: [item(step, ok) for step, ok in found.items()]
)


@given(CHECKPOINTS, st.integers(1, 6), st.data())
def test_what_stays_is_always_enough(checkpoints, keep, data):
    best = data.draw(st.none() | st.sampled_from([found.path.name for found in checkpoints] or [None]))
    gone = to_prune(checkpoints, keep, best)
    sound = sorted(found.step for found in checkpoints if found.verdict.ok)
    left = [found for found in checkpoints if found not in gone]
    assert all(found.verdict.ok for found in gone), "a damaged one is evidence"
    assert best not in {found.path.name for found in gone}
    assert {found.step for found in left if found.verdict.ok} >= set(sound[-keep:])
    assert len([found for found in left if found.verdict.ok]) <= keep + 1
    assert not sound or any(found.verdict.ok for found in left)
    assert [found.step for found in gone] == sorted(found.step for found in gone)
    assert to_prune(left, keep, best) == ()


def test_keeping_none_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        to_prune([], 0, None)


def test_the_oldest_go_and_the_best_stays(run, save_step):
    for step in range(1, 7):
        save_step(step, eval_loss=abs(step - 2) + 1.0)
    assert prune(run, 2) == [run / "checkpoint-1", run / "checkpoint-3", run / "checkpoint-4"]
    assert sorted(os.listdir(run)) == ["checkpoint-2", "checkpoint-5", "checkpoint-6"]


def test_the_callers_best_beats_the_recorded_one(run, save_step):
    for step in range(1, 5):
        save_step(step, eval_loss=float(step))
    prune(run, 1, best=run / "checkpoint-3")
    assert sorted(os.listdir(run)) == ["checkpoint-3", "checkpoint-4"]


def test_damaged_ones_neither_count_nor_go(run, save_step):
    for step in range(1, 6):
        save_step(step)
    (run / "checkpoint-5" / "moe_layers.safetensors").unlink()
    (run / "checkpoint-4" / MANIFEST).write_text("{}")
    assert prune(run, 2) == [run / "checkpoint-1"]
    assert sorted(os.listdir(run)) == [f"checkpoint-{step}" for step in (2, 3, 4, 5)]


def test_a_flipped_bit_counts_only_for_who_looks(run, save_step):
    for step in range(1, 4):
        save_step(step)
    path = run / "checkpoint-3" / "moe_layers.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert prune(run, 2, hashes=True) == []
    assert prune(run, 2) == [run / "checkpoint-1"]


def test_one_that_cannot_be_removed_is_reported_and_the_others_go(run, save_step):
    class Stubborn(Files):
        def rename(self, old: Path, new: Path) -> None:
            if old.name == "checkpoint-1":
                raise OSError(16, "Device or resource busy")
            super().rename(old, new)

    for step in range(1, 4):
        save_step(step)
    told: list[str] = []
    removed = prune(run, 1, files=Stubborn(), on_error=lambda path, error: told.append(path.name))
    assert (removed, told) == ([run / "checkpoint-2"], ["checkpoint-1"])
    assert prune(run, 1, files=DISK) == [run / "checkpoint-1"]
