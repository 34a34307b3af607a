"""What is handed on names files, not places on somebody's machine; what only looks like a path stays."""

from __future__ import annotations

import pytest

from states.portable import portable, portable_any, portable_name


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
    assert portable_name("/home/Jane Doe/my base") == "my base"
    assert portable_name("owner/name") == "owner/name"


def test_all_texts_of_a_value_are_told_so_and_nothing_else_changes() -> None:
    value = {"/home/me/key": ["/home/me/a", 1, None, {"x": "/home/me/b"}], "y": 0.5}
    assert portable_any(value) == {"/home/me/key": ["a", 1, None, {"x": "b"}], "y": 0.5}
