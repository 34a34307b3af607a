"""Whatever operation a save, a prune or a start is cut at, every checkpoint that was promised is still there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.checkpoint.errors import CheckpointFailed
from engine.checkpoint.retention import prune
from engine.checkpoint.store import newest_valid, verify
from engine.checkpoint.tidy import tidy
from engine.checkpoint.verify import found

CUTS = ("before", "half", "after")
ROOT = Path(engine.__file__).parents[1]


def sound_steps(run: Path) -> list[int]:
    return [item.step for item in found(run, hashes=True) if item.verdict.ok]


def newest_step(run: Path) -> int | None:
    path = newest_valid(run, on_skip=lambda path, why: None)
    manifest = verify(path).manifest if path else None
    return manifest.step if manifest else None


def only_checkpoints(run: Path) -> bool:
    return all(name.startswith("checkpoint-") for name in os.listdir(run))


def operations(faults, work) -> int:
    files = faults.FaultyFiles()
    work(files)
    return files.count


@pytest.mark.parametrize("mode", CUTS)
def test_a_save_cut_at_any_operation_leaves_the_older_ones_or_all_of_the_new_one(run, save_step, faults, mode):
    save_step(1)
    total = operations(faults, lambda files: save_step(99, files=files))
    for at in range(total):
        step = 100 + at
        before = sound_steps(run)
        with pytest.raises(faults.Cut):
            save_step(step, files=faults.FaultyFiles(at, mode))
        assert sound_steps(run) in (before, [*before, step])
        tidy(run)
        assert only_checkpoints(run)
        assert all(item.verdict.ok for item in found(run, hashes=True))
        assert newest_step(run) in (before[-1], step)


@pytest.mark.parametrize("mode", CUTS)
def test_replacing_the_only_checkpoint_never_leaves_none(run, save_step, faults, mode):
    save_step(5)
    total = operations(faults, lambda files: save_step(5, files=files))
    for at in range(total):
        files = faults.FaultyFiles(at, mode)
        with pytest.raises(faults.Cut):
            save_step(5, files=files)
        assert newest_step(run) == 5
        tidy(run)
        assert os.listdir(run) == ["checkpoint-5"]
        assert sound_steps(run) == [5]


@pytest.mark.parametrize("mode", CUTS)
def test_the_clean_up_after_a_cut_may_itself_be_cut(run, save_step, faults, mode):
    save_step(5)
    total = operations(faults, lambda files: save_step(5, files=files))
    for at in range(total):
        with pytest.raises(faults.Cut):
            save_step(5, files=faults.FaultyFiles(at, "before"))
        for second in range(20):
            try:
                tidy(run, files=faults.FaultyFiles(second, mode))
            except faults.Cut:
                assert newest_step(run) == 5
            else:
                break
        assert os.listdir(run) == ["checkpoint-5"]


def test_a_sound_checkpoint_set_aside_wins_over_a_damaged_replacement(run, save_step):
    save_step(5).path.rename(run / ".previous-5-ab12")
    (save_step(5, flavour=90).path / "moe_layers.safetensors").write_bytes(b"torn")
    assert "Put checkpoint-5 back" in tidy(run)[0]
    tidy(run)
    assert sound_steps(run) == [5]
    assert os.listdir(run) == ["checkpoint-5"]


@pytest.mark.parametrize("mode", CUTS)
def test_a_prune_cut_at_any_operation_keeps_the_newest_and_the_best(run, save_step, faults, mode):
    for at in range(60):
        for step in range(1, 6):
            save_step(step, eval_loss=1.0 if step == 2 else 2.0)
        files = faults.FaultyFiles(at, mode)
        try:
            prune(run, 2, files=files)
        except faults.Cut:
            assert {2, 4, 5} <= set(sound_steps(run))
            assert len(sound_steps(run)) == len(found(run)), "a half-removed one must not look like a checkpoint"
        else:
            break
        tidy(run)
        assert only_checkpoints(run)
    else:
        pytest.fail("the prune never ended")


@pytest.mark.parametrize("mode", ["full", "broken"])
def test_a_disk_that_refuses_fails_the_save_and_harms_nothing(run, save_step, faults, mode):
    save_step(1)
    total = operations(faults, lambda files: save_step(99, files=files))
    for at in range(total):
        step = 100 + at
        before = sound_steps(run)
        with pytest.raises(CheckpointFailed, match=f"step {step}") as refused:
            save_step(step, files=faults.FaultyFiles(at, mode))
        assert ("No space left" in refused.value.message) is (mode == "full")
        assert ("save_total_limit" in refused.value.message) is (mode == "full")
        assert sound_steps(run) in (before, [*before, step])
        assert only_checkpoints(run), "a failed save must give its space back"


def test_a_full_disk_does_not_lose_the_checkpoint_that_is_being_replaced(run, save_step, faults):
    save_step(5)
    total = operations(faults, lambda files: save_step(5, files=files))
    for at in range(total):
        try:
            save_step(5, files=faults.FaultyFiles(at, "broken"))
        except CheckpointFailed:
            assert newest_step(run) == 5
            assert (run / "checkpoint-5").is_dir(), "put back at once, not at the next start"
        tidy(run)
        assert sound_steps(run) == [5]


def test_a_real_kill_at_any_moment_leaves_what_was_acknowledged(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = str(Path(__file__).with_name("kill_child.py"))
    for at in (2, 9, 26, 33, 40, 58):
        run = tmp_path / str(at)
        run.mkdir()
        done = subprocess.run(
            [sys.executable, child, str(run), str(at)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == -9, done.stderr
        acknowledged = [int(line) for line in done.stdout.split()]
        tidy(run)
        assert only_checkpoints(run)
        assert (newest_step(run) or 0) >= max(acknowledged, default=0)
        again = subprocess.run([sys.executable, child, str(run), "-1"], env=environment, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert sound_steps(run) == [2, 5, 6], "the two newest and the best"
