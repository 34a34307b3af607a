"""Speeds are assumed, remembered or measured, and said to be so; a lost memory costs nothing."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from engine.plan.history import MOST, history_key, history_path, recall, recalled, remember
from engine.plan.parameters import base_parameters
from engine.plan.throughput import FORWARD_SHARE, REFERENCE_PARAMS, assumed, measured, remembered

DEMO = Path(__file__).parents[2] / "configs" / "demo" / "base"


def costs(**changes: object):
    stated = {
        "profile": "balanced",
        "base_params": REFERENCE_PARAMS,
        "device": "cuda",
        "cores": 16,
        "checkpoint_bytes": 0,
    }
    return assumed(**{**stated, **changes})


def test_the_balanced_profile_assumes_the_documents_800_tokens_a_second():
    assert costs().tokens_per_s == 800.0
    assert costs().source == "assumed"
    assert costs(base_params=REFERENCE_PARAMS // 2).tokens_per_s == pytest.approx(1600.0)
    assert 300 < costs().setup_s < 600, "5 to 10 minutes of initialisation"


def test_a_cpu_goes_by_its_cores_and_the_size_of_the_base():
    two = costs(device="cpu", base_params=3_300_000, cores=2)
    four = costs(device="cpu", base_params=3_300_000, cores=4)
    assert four.tokens_per_s == pytest.approx(2 * two.tokens_per_s)
    assert 500 < two.tokens_per_s < 5000
    assert two.setup_s < 20


def test_larger_checkpoints_take_longer():
    assert costs(checkpoint_bytes=2_000_000_000).save_s == pytest.approx(20.1)


def test_a_measurement_is_a_median_without_the_first_step():
    assert measured([(100, 50.0), (100, 1.0), (200, 2.0), (100, 0.5)]) == 100.0
    assert measured([(100, 1.0), (100, 0.0), (0, 1.0)]) is None
    assert measured([]) is None


def key(**changes: object) -> str:
    stated = {
        "device": "NVIDIA H100", "base_params": 5, "dtype": "bfloat16", "threads": 2,
        "max_length": 2048, "bin_tokens": 8192, "checkpointing": False,
    }  # fmt: skip
    return history_key(**{**stated, **changes})


def test_a_speed_is_remembered_for_the_same_work_only(tmp_path):
    path = tmp_path / "state" / "stint" / "throughput.json"
    assert recall(key(), path) is None
    assert remember(key(), 9512.5, wall=1.0, path=path)
    assert recall(key(), path) == 9512.5
    assert recall(key(checkpointing=True), path) is None
    assert recall(key(threads=4), path) == 9512.5, "threads matter on a CPU only"
    assert key(device="cpu") != key(device="cpu", threads=4)


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b'{"format": 1}', b'{"format": 9, "entries": {}}', b'{"format": 1, "entries": {"k": 3}}',
     b'{"format": 1, "entries": {"k": {"tokens_per_s": -1.0, "wall": 1.0}}}', b'{"format": 1, "entries": {"k": {}}}'],
)  # fmt: skip
def test_a_damaged_memory_is_as_good_as_none_and_is_written_anew(tmp_path, text):
    path = tmp_path / "throughput.json"
    path.write_bytes(text)
    assert recall("k", path) is None
    assert remember("k", 5.0, wall=1.0, path=path)
    assert recall("k", path) == 5.0


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert remember("k", 5.0, wall=1.0, path=tmp_path / "file" / "throughput.json") is False
    assert recall("k", tmp_path / "file" / "throughput.json") is None


def test_what_else_was_measured_is_kept_beside_the_speed(tmp_path):
    path = tmp_path / "throughput.json"
    remember(key(), 100.0, wall=1.0, path=path, more={"init_s": 12.0, "save_s": 0.5})
    remember(key(), 200.0, wall=2.0, path=path, more={"save_s": 0.7, "read_tokens_per_s": 500.0})
    known = {"tokens_per_s": 200.0, "init_s": 12.0, "save_s": 0.7, "read_tokens_per_s": 500.0}
    assert recalled(key(), path) == known
    assert recalled(key(checkpointing=True), path) == {}
    found = remembered(costs(), known, passed_s=9.0)
    assert (found.source, found.tokens_per_s, found.read_s) == ("history", 200.0, 1 / 500.0)
    assert (found.setup_s, found.save_s) == (21.0, 0.7)
    assert remembered(costs(), {}, passed_s=9.0) == costs()
    speed_alone = remembered(costs(), {"tokens_per_s": 200.0}, passed_s=9.0)
    assert (speed_alone.setup_s, speed_alone.save_s) == (costs().setup_s, costs().save_s)


def test_reading_keeps_its_share_of_another_speed():
    plain = costs()
    assert plain.read_s == pytest.approx(FORWARD_SHARE / plain.tokens_per_s)
    known = replace(plain, read_tokens_per_s=4000.0)
    assert known.at(2 * plain.tokens_per_s).read_tokens_per_s == 8000.0
    assert plain.at(2 * plain.tokens_per_s).read_s == pytest.approx(plain.read_s / 2)


def test_what_passes_through_the_model_in_init_is_counted():
    assert costs(init_tokens=80_000).setup_s == pytest.approx(costs().setup_s + 100.0)
    assert costs(tokens_per_s=10.0).tokens_per_s == 10.0


def test_only_the_newest_are_kept(tmp_path):
    path = tmp_path / "throughput.json"
    for number in range(MOST + 5):
        remember(f"k{number}", 1.0, wall=float(number), path=path)
    assert recall("k4", path) is None
    assert recall("k5", path) == 1.0
    assert len(orjson.loads(path.read_bytes())["entries"]) == MOST


def test_the_file_is_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_path() == tmp_path / "stint" / "throughput.json"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert history_path() == Path.home() / ".local" / "state" / "stint" / "throughput.json"


def weights(path: Path, shapes: list[list[int]]) -> None:
    header = {
        str(number): {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for number, shape in enumerate(shapes)
    }
    text = orjson.dumps({"__metadata__": {"format": "pt"}, **header})
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def test_a_folder_is_counted_by_its_headers(tmp_path):
    weights(tmp_path / "model-1.safetensors", [[10, 20], [5]])
    weights(tmp_path / "model-2.safetensors", [[3, 3, 3]])
    assert base_parameters(tmp_path) == 232


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("LatitudeGames/Wayfarer-2-12B", 12_000_000_000),
        ("x/tiny-1.5b-chat", 1_500_000_000),
        ("x/unsized", REFERENCE_PARAMS),
    ],
)
def test_a_hub_id_is_read_by_its_name(name, params):
    assert base_parameters(name) == params


def test_damaged_weights_do_not_stop_a_plan(tmp_path):
    for number, text in enumerate([b"", b"\xff" * 9, struct.pack("<Q", 2**60), struct.pack("<Q", 4) + b"null"]):
        (tmp_path / f"{number}.safetensors").write_bytes(text)
    assert base_parameters(tmp_path) == REFERENCE_PARAMS
