"""A checkpoint is all there or not there, and damage to it is seen."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.checkpoint.errors import CheckpointFailed
from engine.checkpoint.files import DISK, Digest
from engine.checkpoint.manifest import MANIFEST, Manifest, ManifestError, Meta, decode, encode, read
from engine.checkpoint.store import newest_valid, save, verify
from engine.checkpoint.verify import found
from states.phases import Cause


def never(path: Path, why: str) -> None:
    raise AssertionError(f"{path} was skipped: {why}")


def test_a_saved_checkpoint_verifies_and_says_what_it_is(run, save_step):
    saved = save_step(500, eval_loss=1.25, cause=Cause.BEST)
    verdict = verify(saved.path)
    assert verdict.ok
    assert saved.path == run / "checkpoint-500"
    assert verdict.manifest is not None
    assert (verdict.manifest.step, verdict.manifest.eval_loss, verdict.manifest.cause) == (500, 1.25, Cause.BEST)
    assert saved.bytes == sum(path.stat().st_size for path in saved.path.iterdir() if path.name != MANIFEST)


def test_every_file_and_both_directories_are_made_durable_before_the_save_returns(run, save_step, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    path = save_step(1, files=DISK).path
    inodes = [entry.stat().st_ino for entry in path.iterdir()]
    assert set(synced) == {*inodes, path.stat().st_ino, run.stat().st_ino}
    assert synced[-2:] == [path.stat().st_ino, run.stat().st_ino], "its content first, then its name"
    assert path.stat().st_mode & 0o777 == 0o700
    assert {entry.stat().st_mode & 0o777 for entry in path.iterdir()} == {0o600}


def test_nothing_but_the_checkpoint_is_left_behind(run, save_step):
    save_step(1)
    save_step(1, flavour=5)
    assert sorted(os.listdir(run)) == ["checkpoint-1"]


def test_saving_a_step_again_replaces_it(run, save_step):
    save_step(7)
    again = save_step(7, flavour=90)
    assert verify(again.path).ok
    assert b"step 97" in (again.path / "moe_layers.safetensors").read_bytes()


def test_a_damaged_checkpoint_of_the_same_step_is_replaced(run, save_step):
    (save_step(7).path / "moe_layers.safetensors").write_bytes(b"gone")
    assert verify(save_step(7).path).ok


def test_every_flipped_bit_is_noticed_and_its_file_named(run, save_step):
    path = save_step(3).path
    for entry in sorted(path.iterdir()):
        good = entry.read_bytes()
        positions = range(len(good)) if entry.name == MANIFEST else range(0, len(good), 37)
        for position in positions:
            bad = bytearray(good)
            bad[position] ^= 1 << (position % 8)
            entry.write_bytes(bad)
            problems = verify(path).problems
            assert any(entry.name in problem for problem in problems), (entry.name, position)
        entry.write_bytes(good)
    assert verify(path).ok


def test_every_truncation_is_noticed(run, save_step):
    path = save_step(3).path
    for entry in sorted(path.iterdir()):
        good = entry.read_bytes()
        for length in range(0, len(good), 61):
            entry.write_bytes(good[:length])
            assert not verify(path).ok
        entry.write_bytes(good)


def test_missing_extra_and_swapped_files_are_named(run, save_step):
    path = save_step(3).path
    model, config = path / "adapter_model.safetensors", path / "adapter_config.json"
    (path / "notes.txt").write_text("hello")
    assert verify(path).problems == (f"notes.txt is not listed in {MANIFEST}",)
    (path / "notes.txt").unlink()
    held = model.read_bytes()
    model.unlink()
    assert verify(path).problems == ("adapter_model.safetensors is missing",)
    model.write_bytes(config.read_bytes())
    config.write_bytes(held)
    assert len(verify(path).problems) == 2


def test_a_link_or_a_pipe_in_place_of_a_file_is_refused_without_waiting(run, save_step, tmp_path):
    path = save_step(3).path
    target = path / "moe_layers.safetensors"
    copy = tmp_path / "elsewhere"
    shutil.move(target, copy)
    target.symlink_to(copy)
    assert verify(path).problems == ("moe_layers.safetensors is not a regular file",)
    target.unlink()
    os.mkfifo(target)
    assert verify(path).problems == ("moe_layers.safetensors is not a regular file",)
    os.unlink(path / MANIFEST)
    os.mkfifo(path / MANIFEST)
    assert verify(path).problems == (f"{MANIFEST}: it is not a regular file",)


def test_a_name_that_could_move_a_cursor_is_shown_escaped(run, save_step):
    path = save_step(3).path
    (path / "a\x1b[2Jb").write_text("")
    assert "\x1b" not in verify(path).why
    assert "x1b" in verify(path).why


def test_the_newest_sound_checkpoint_is_found_by_its_manifest_and_the_skipped_are_explained(run, save_step):
    for step in (9, 10, 100):
        save_step(step)
    os.utime(run / "checkpoint-9")
    assert newest_valid(run, on_skip=never) == run / "checkpoint-100"
    (run / "checkpoint-100" / "optimizer.safetensors").write_bytes(b"x" * 3)
    (run / "checkpoint-10" / MANIFEST).unlink()
    skipped: list[tuple[str, str]] = []
    assert newest_valid(run, on_skip=lambda path, why: skipped.append((path.name, why))) == run / "checkpoint-9"
    assert [name for name, _ in skipped] == ["checkpoint-100", "checkpoint-10"]
    assert "optimizer.safetensors has 3 bytes" in skipped[0][1]
    assert "missing" in skipped[1][1]


def test_a_run_without_checkpoints_has_no_newest(tmp_path):
    assert newest_valid(tmp_path, on_skip=never) is None
    assert newest_valid(tmp_path / "nowhere", on_skip=never) is None


def test_a_run_copied_elsewhere_still_verifies(run, save_step, tmp_path):
    save_step(1)
    save_step(2)
    other = tmp_path / "another" / "place"
    shutil.copytree(run, other)
    shutil.rmtree(run)
    assert newest_valid(other, on_skip=never) == other / "checkpoint-2"
    assert verify(other / "checkpoint-1").ok


def test_a_directory_under_another_steps_name_is_not_trusted(run, save_step):
    save_step(5).path.rename(run / "checkpoint-50")
    assert "step 5" in verify(run / "checkpoint-50").why
    (run / "checkpoint-50").rename(run / "my favourite")
    assert verify(run / "my favourite").ok


def test_a_loss_that_is_not_finite_is_no_loss(run, save_step):
    save_step(5, eval_loss=float("nan"))
    assert read(run / "checkpoint-5" / MANIFEST).eval_loss is None


def test_a_mistake_in_a_writer_is_not_taken_for_a_bad_disk(run, save_step):
    def broken(path: Path) -> None:
        raise KeyError("moe")

    with pytest.raises(KeyError):
        save(run, 4, {"a.json": broken}, cause=Cause.FINAL, meta=Meta(run_id="r", config_hash="c"))
    assert os.listdir(run) == []


def test_a_writer_that_leaves_no_file_fails_the_save(run, save_step):
    with pytest.raises(CheckpointFailed, match=r"a\.json"):
        save(run, 4, {"a.json": lambda path: None}, cause=Cause.FINAL, meta=Meta(run_id="r", config_hash="c"))
    assert os.listdir(run) == []


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", MANIFEST, "", "a\nb", "x" * 101])
def test_file_names_cannot_leave_the_checkpoint(run, save_step, name):
    with pytest.raises(ValueError, match="not names"):
        save(run, 4, {name: lambda path: None}, cause=Cause.FINAL, meta=Meta(run_id="r", config_hash="c"))
    assert found(run) == []


MANIFESTS = st.builds(
    Manifest,
    run_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    step=st.integers(0, 2**53),
    cause=st.sampled_from(Cause),
    created_wall=st.floats(allow_nan=False, allow_infinity=False),
    config_hash=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    eval_loss=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    versions=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.just("1"), max_size=3),
    files=st.dictionaries(
        st.from_regex(r"[a-z][a-z._-]{0,9}", fullmatch=True),
        st.builds(Digest, bytes=st.integers(0, 2**53), sha256=st.just("ab" * 32)),
        max_size=3,
    ),
    source=st.none() | st.just("checkpoint-3"),
)


@given(MANIFESTS)
def test_a_manifest_survives_its_text(manifest):
    assert decode(encode(manifest)) == manifest


@given(MANIFESTS, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_no_other_text_passes_for_a_manifest(manifest, data):
    text = encode(manifest)
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.binary(max_size=4)) + text[position + 1 :]
    if changed != text:
        with pytest.raises(ManifestError):
            decode(changed)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b'{"format": 2}', b"[" * 2000, b'{"a":' * 500 + b"1" + b"}" * 500, b"\xff"]
)
def test_anything_else_is_refused_with_a_reason(text):
    with pytest.raises(ManifestError, match=r"\w"):
        decode(text)


def test_a_newer_format_says_so(run, save_step):
    body = orjson.loads((save_step(1).path / MANIFEST).read_bytes())
    with pytest.raises(ManifestError, match="newer Stint"):
        decode(orjson.dumps({**body, "format": 9}))
