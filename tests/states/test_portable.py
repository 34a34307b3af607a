"""What is handed on names files, not places on somebody's machine; what only looks like a path stays."""

from __future__ import annotations

import pytest

from states.portable import known_paths, portable, portable_any, portable_name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/jane/runs/model", "model"),
        ("/home/jane/runs/model/", "model"),
        ("~/data/talks.json", "talks.json"),
        ("see '/home/jane/talks.json', row 3", "see 'talks.json', row 3"),
        ("/home/jane/a.json: bad, /home/jane/b.json: good", "a.json: bad, b.json: good"),
        ("owner/name", "owner/name"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        ("50/60/70 tokens/s and/or GB/s/card", "50/60/70 tokens/s and/or GB/s/card"),
        ("configs/demo/base", "configs/demo/base"),
        ("", ""),
    ],
)
def test_a_path_is_told_by_its_last_name(text: str, told: str) -> None:
    assert portable(text) == told
    assert portable(told) == told, "once is enough"


def test_a_known_path_may_have_any_letters() -> None:
    known = ["/home/Jane Doe/my runs", "/home/Jane Doe/my runs/one (best)"]
    assert portable("wrote /home/Jane Doe/my runs/one (best): fine", known) == "wrote one (best): fine"
    assert portable("/home/Jane Doe/my runs/two/train.json:3:5", known) == "train.json:3:5"
    assert portable_name("/home/Jane Doe/my base") == "my base"
    assert portable_name("owner/name") == "owner/name"


def test_all_texts_of_a_value_are_told_so_and_nothing_else_changes() -> None:
    value = {"/home/me/key": ["/home/me/a", 1, None, {"x": "/home/me/b"}], "y": 0.5}
    assert portable_any(value) == {"/home/me/key": ["a", 1, None, {"x": "b"}], "y": 0.5}


@pytest.mark.parametrize("text", ["acme/models-7b", "https://huggingface.co/datasets/x", "s3://models/a", "a/models"])
def test_a_known_path_is_not_found_inside_another_name(text: str) -> None:
    assert portable(text, ["/models", "/datasets"]) == text


def test_what_lies_below_a_known_path_is_told_by_its_own_name() -> None:
    assert portable("in /home/alice/clinic/cases.", ["/home/alice"]) == "in cases."
    assert portable("/home/alice-two/cases", ["/home/alice"]) == "cases"


def test_the_paths_of_a_configuration_are_known_with_their_spaces() -> None:
    config = {
        "training": {"dataset": "/drive/My Drive/Clinic Smith/train.json", "epochs": 3, "base_model": "owner/name"},
        "source": {"training.epochs": "/home/Jane Doe/conf/training_config.json:3:5"},
        "after": ["~/my scripts/send", None],
    }
    assert known_paths(config) == {
        "/drive/My Drive/Clinic Smith/train.json",
        "/home/Jane Doe/conf/training_config.json",
        "~/my scripts/send",
    }
    told = portable_any(config, known_paths(config))
    assert told["training"]["dataset"] == "train.json"
    assert told["source"] == {"training.epochs": "training_config.json:3:5"}
    assert told["after"] == ["send", None]
