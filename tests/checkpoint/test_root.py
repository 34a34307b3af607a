"""The model at the root of a run is whole, or nobody reads it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from engine.checkpoint.errors import CheckpointFailed, CheckpointInvalid
from engine.checkpoint.manifest import MANIFEST
from engine.checkpoint.root import MODEL_FILES, best_source, publish, verify_root
from engine.checkpoint.store import verify
from engine.checkpoint.tidy import tidy

CARD = {"README.md": lambda path: path.write_text("# A model") and None}


def quiet(path: Path, why: str) -> None:
    return None


def test_the_model_is_published_without_what_only_training_needs(run, save_step):
    saved = save_step(5, eval_loss=1.5)
    manifest = publish(run, saved.path, CARD)
    assert manifest.source == "checkpoint-5"
    assert {path.name for path in run.iterdir()} == {"checkpoint-5", MANIFEST, "README.md", *MODEL_FILES}
    assert verify_root(run).ok
    assert best_source(run, on_skip=quiet) == run


def test_files_of_the_run_beside_the_model_do_not_matter(run, save_step):
    publish(run, save_step(5).path)
    (run / "events.jsonl").write_text("{}\n")
    assert verify_root(run).ok


def test_publishing_again_replaces_it_and_takes_stale_files_away(run, save_step):
    publish(run, save_step(5).path, {**CARD, "old.json": lambda path: path.write_text("1") and None})
    publish(run, save_step(6).path, CARD)
    assert verify_root(run).ok
    assert b"step 6" in (run / "moe_layers.safetensors").read_bytes()
    assert not (run / "old.json").exists()


def test_a_damaged_root_falls_back_to_the_best_checkpoint(run, save_step):
    save_step(5, eval_loss=1.0)
    publish(run, save_step(6, eval_loss=2.0).path)
    (run / "adapter_model.safetensors").write_bytes(b"torn")
    told: list[str] = []
    assert best_source(run, on_skip=lambda path, why: told.append(why)) == run / "checkpoint-5"
    assert "adapter_model.safetensors" in told[0]
    (run / "checkpoint-5" / "moe_layers.safetensors").unlink()
    assert best_source(run, on_skip=quiet) == run / "checkpoint-6"
    shutil.rmtree(run / "checkpoint-6")
    assert best_source(run, on_skip=quiet) is None


def test_without_any_evaluation_the_newest_sound_checkpoint_is_read(run, save_step):
    save_step(5)
    save_step(6)
    told: list[str] = []
    assert best_source(run, on_skip=lambda path, why: told.append(why)) == run / "checkpoint-6"
    assert told == [], "a root that was never published is no fault"


def test_a_damaged_checkpoint_is_not_published(run, save_step):
    path = save_step(5).path
    (path / "optimizer.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointInvalid, match=r"optimizer\.safetensors"):
        publish(run, path)
    assert not (run / MANIFEST).exists()


@pytest.mark.parametrize("mode", ["before", "half", "after", "broken", "full"])
def test_a_publication_cut_anywhere_is_whole_or_not_trusted(run, save_step, faults, mode):
    old, new = save_step(5, eval_loss=2.0).path, save_step(6, eval_loss=1.0).path
    counter = faults.FaultyFiles()
    publish(run, old, CARD, files=counter)
    for at in range(counter.count):
        publish(run, old, CARD)
        with contextlib.suppress(faults.Cut, CheckpointFailed):
            publish(run, new, CARD, files=faults.FaultyFiles(at, mode))
        verdict = verify_root(run)
        source = best_source(run, on_skip=quiet)
        if verdict.ok:
            step = verdict.manifest.step
            assert f"step {step}\n".encode() in (run / "moe_layers.safetensors").read_bytes()
            assert source == run
        else:
            assert source == new
        assert verify(new).ok
        assert verify(old).ok
        tidy(run)
        assert not [path for path in run.iterdir() if path.name.startswith(".")]
