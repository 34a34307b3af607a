"""Data set files: every accepted shape, and every refusal with its position and without anybody's words."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import DataError
from engine.data.conversation import Role
from engine.data.formats import read, read_dataset, scan
from engine.data.rows import Shape

TEXT_ROW = {"text": "Client: I worry.\nTherapist: What about?", "domain": "worry"}
MESSAGES_ROW = {"messages": [{"role": "user", "content": "I worry."}, {"role": "assistant", "content": "What about?"}]}
SHAREGPT_ROW = {"conversations": [{"from": "human", "value": "I worry."}, {"from": "gpt", "value": "What about?"}]}
SAID = [(Role.CLIENT, "I worry."), (Role.THERAPIST, "What about?")]


def write(tmp_path: Path, content: Any, name: str = "data.json") -> Path:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    message = caught.value.message
    assert caught.value.exit_code == 3
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("document", "shape"),
    [
        ({"conversations": [TEXT_ROW]}, Shape.TRANSCRIPT),
        ([TEXT_ROW], Shape.TRANSCRIPT),
        (TEXT_ROW, Shape.TRANSCRIPT),
        ({"conversations": [MESSAGES_ROW]}, Shape.MESSAGES),
        ([MESSAGES_ROW], Shape.MESSAGES),
        (MESSAGES_ROW, Shape.MESSAGES),
        ([SHAREGPT_ROW], Shape.SHAREGPT),
        (SHAREGPT_ROW, Shape.SHAREGPT),
        ({"conversations": [SHAREGPT_ROW]}, Shape.SHAREGPT),
    ],
)
def test_every_documented_shape_reads_as_the_same_turns(tmp_path: Path, document: Any, shape: Shape) -> None:
    dataset = read_dataset(write(tmp_path, document))
    assert [(turn.role, turn.text) for turn in dataset.conversations[0].turns] == SAID
    assert dataset.shapes == {shape: 1}
    assert any(str(shape) in note for note in dataset.notes)


def test_json_lines_mix_shapes_and_number_rows_by_line(tmp_path: Path) -> None:
    rows = [TEXT_ROW, MESSAGES_ROW | {"domain": "other"}]
    path = write(tmp_path, "\n" + "\r\n\r\n".join(json.dumps(row) for row in rows) + "\n", "data.txt")
    dataset = scan(path)
    assert dataset.unit == "line"
    assert dataset.parsed == 2
    assert (dataset.conversations[0].row, dataset.conversations[0].domain) == (2, "worry")
    assert dataset.duplicates == (4,)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, b"\xef\xbb\xbf" + json.dumps([TEXT_ROW]).encode()))) == 1


def test_the_same_words_twice_count_once(tmp_path: Path) -> None:
    spaced = {"text": "Client:  I  worry.\nTherapist: What about? "}
    dataset = read_dataset(write(tmp_path, [TEXT_ROW, spaced, TEXT_ROW]))
    assert [c.row for c in dataset.conversations] == [1]
    assert dataset.duplicates == (2, 3)
    assert any("2 rows (2, 3)" in note for note in dataset.notes)


def test_a_conversation_without_a_reply_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"text": "Therapist: Hi.\nClient: Hm."}, {"text": ""}, TEXT_ROW, {"messages": []}]
    dataset = read_dataset(write(tmp_path, rows))
    assert [c.row for c in dataset.conversations] == [3]
    assert dataset.without_reply == (1, 2, 4)


def test_a_file_without_any_reply_is_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, [{"text": "Therapist: Hi.\nClient: a secret"}]))
    assert "none of its 1 conversations has a therapist turn after a client turn" in message
    assert "secret" not in message


def test_system_roles_and_text_parts_are_understood(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": "c"},
    ]
    dataset = read_dataset(write(tmp_path, [{"messages": turns}]))
    assert [(t.role, t.text) for t in dataset.conversations[0].turns] == [
        (Role.SYSTEM, "Be kind."),
        (Role.CLIENT, "a\nb"),
        (Role.THERAPIST, "c"),
    ]
    assert dataset.empty_turns == 1


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (7, "it is a number, expected an object"),
        ({"prompt": "a secret", "completion": "b"}, r"keys found: prompt, completion"),
        ({"text": ["a secret"]}, 'its "text" is a list'),
        ({"text": "Therpist: a secret"}, 'did you mean "Therapist:"'),
        ({"text": "a secret\nClient: b"}, "line 1 of its text stands before the first label"),
        ({"messages": "a secret"}, "its turns are a string"),
        ({"messages": [{"role": "asistant", "content": "a secret"}]}, 'did you mean "assistant"'),
        ({"messages": [{"role": "user", "text": "a secret"}]}, "turn 1 is keys role, text"),
        ({"messages": [{"role": "user", "content": 3}]}, "turn 1 has a number for a text"),
        ({"messages": [{"role": None, "content": "a secret"}]}, "turn 1 has null for a role"),
        ({"conversations": [{"from": "gpt"}]}, "turn 1 is keys from"),
        ({"text": "Client: a secret\nTherapist: b", "domain": 3}, 'its "domain" is a number'),
        ({"text": "Client: a\nTherapist: b", "domain": "d" * 80}, 'its "domain" has 80 characters'),
    ],
)
def test_a_row_that_cannot_be_read_is_named_without_its_words(tmp_path: Path, row: Any, what: str) -> None:
    message = refusal(write(tmp_path, [TEXT_ROW, row]))
    assert "row 2: " in message
    assert what in message
    assert "secret" not in message


def test_many_bad_rows_make_one_short_message_and_a_full_list(tmp_path: Path) -> None:
    path = write(tmp_path, [TEXT_ROW, *range(9)])
    message = refusal(path)
    assert "row 2:" in message
    assert "6 more of 10 rows have problems" in message
    assert [problem.row for problem in scan(path).problems] == list(range(2, 11))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"[]", "the list is empty"),
        (b'{"conversations": []}', "the list is empty"),
        (b'{"conversations": 3}', '"conversations" is a number, not a list'),
        (b'{"rows": []}', "keys found: rows"),
        (b"null", "holds null"),
        (b'"a secret"', "holds a string"),
        (b'[\n{"text": "a secret",}\n]', ":2:20: not valid JSON"),
        (b"Client: a secret", ":1:1: not valid JSON"),
        (b'{"text": "Client: a\\nTherapist: b"}\n{"text": oops}\n', ":2:10: not valid JSON"),
        (b'[\n"\xc3\xa9\xe9 secret"]', ":2:3: not UTF-8 text (byte 5 is 0xe9)"),
        (b"\xff\xfe[\x00]\x00", "UTF-16"),
        (b"PAR1....", "Parquet"),
        (b"\x1f\x8b....", "gzip"),
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 1,000 deep"),
        (b'{"a":' * 100_000, "nested more than 1,000 deep"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_data_set_is_refused_with_its_position(tmp_path: Path, content: bytes, what: str) -> None:
    message = refusal(write(tmp_path, content))
    assert what in message
    assert "secret" not in message


def test_a_missing_file_offers_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, [TEXT_ROW], "counsel.json")
    assert f"did you mean {tmp_path / 'counsel.json'}?" in refusal(tmp_path / "councel.json")
    assert "nor a folder" in refusal(tmp_path / "nowhere" / "x.json")


def test_folders_and_devices_are_not_data_sets(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)
    assert "not a regular file" in refusal(Path("/dev/zero"))


def test_a_file_beyond_the_size_cap_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    path.touch()
    os.truncate(path, 2 << 30)
    assert "2.0 GiB; at most 1 GiB" in refusal(path)


def test_control_characters_of_a_file_do_not_reach_the_message(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, [{"\x1b]0;pwn\x07": 1}]))
    assert "\x1b" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "messages", "conversations", "role", "content", "from", "value", "domain", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(json_values)
def test_any_json_reads_or_is_refused_as_data(tmp_path: Path, document: Any) -> None:
    conversations = None
    with contextlib.suppress(DataError):
        conversations = read(write(tmp_path, document))
    assert conversations is None or (conversations and all(each.trainable for each in conversations))
