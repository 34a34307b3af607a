"""Every key and value of a JSON text is found where it stands."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from configs.positions import KeyPath, dotted, places

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def walk(value: object, path: KeyPath = ()) -> dict[KeyPath, object]:
    found = {path: value}
    children = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, child in children:
        found |= walk(child, (*path, step))
    return found


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_each_value_stands_where_it_is_said_to_stand(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = places(text)
    expected = walk(value)
    assert found.values.keys() == expected.keys()
    for path, offset in found.values.items():
        assert json.JSONDecoder().raw_decode(text, offset)[0] == expected[path]
    for path, offset in found.keys.items():
        assert json.JSONDecoder().raw_decode(text, offset)[0] == path[-1]
    assert not found.repeats
    assert not found.oversized


def test_lines_and_columns_are_counted_from_one_in_characters() -> None:
    found = places('{\n  "\u00e9": "\u6f22",  "b": [1,\n2]}')
    assert found.line_column(found.values[("\u00e9",)]) == (2, 8)
    assert found.line_column(found.keys[("b",)]) == (2, 14)
    assert found.line_column(found.values["b", 1]) == (3, 1)


def test_a_path_that_does_not_exist_is_placed_at_what_surrounds_it() -> None:
    found = places('{"a": {"b": 1}}')
    assert found.nearest(("a", "zzz", 3)) == found.values[("a",)]
    assert found.nearest(("nothing",)) == 0


def test_a_repeated_key_is_seen_through_its_escapes_and_at_any_depth() -> None:
    found = places('[{"x": {"a": 1, "\\u0061": 2}}]')
    assert [(repeat.path, repeat.second) for repeat in found.repeats] == [((0, "x", "a"), 16)]


def test_a_whole_number_beyond_64_bits_is_seen_whatever_its_length() -> None:
    found = places(f"[9223372036854775807, 9223372036854775808, -9223372036854775808, -{'9' * 10_000}, 1e30]")
    assert found.oversized == [(1,), (3,)]


def test_a_path_is_written_as_people_write_it() -> None:
    assert dotted(("config", "layers", 0, "name")) == "config.layers[0].name"
