"""Comments and trailing commas vanish without moving anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.jsonc import MAX_DEPTH, JsoncError, plain

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["//", "/* x */", ",]", ', "', "\\"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
FILLINGS = st.sampled_from(["", " ", "\n", '// a } comment, "quoted\n', "/* [ , */", "/* two\nlines */", "\t"])


@st.composite
def decorated(draw: st.DrawFn) -> tuple[object, str]:
    """A value, and its JSON with comments between the lexemes and trailing commas before closing brackets."""

    def render(value: object) -> str:
        gap = draw(FILLINGS)
        if isinstance(value, list | dict):
            opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
            items = (
                [render(item) for item in value]
                if isinstance(value, list)
                else [f"{json.dumps(key)}{draw(FILLINGS)}:{render(item)}" for key, item in value.items()]
            )
            trailing = draw(st.sampled_from(["", "," + draw(FILLINGS)])) if items else draw(FILLINGS)
            return f"{gap}{opening}{','.join(items)}{trailing}{closing}{draw(FILLINGS)}"
        return f"{gap}{json.dumps(value, ensure_ascii=False)}{draw(FILLINGS)}"

    value = draw(VALUES)
    return value, render(value)


@given(decorated())
def test_the_values_are_those_without_the_comments_and_nothing_moves(pair: tuple[object, str]) -> None:
    value, text = pair
    bare = plain(text)
    assert json.loads(bare) == value
    assert len(bare) == len(text)
    assert all(kept in (original, " ") for kept, original in zip(bare, text, strict=True))
    assert [index for index, char in enumerate(bare) if char == "\n"] == [
        index for index, char in enumerate(text) if char == "\n"
    ]


@given(st.text(alphabet='{}[],:"\\/*x1 \n\r'))
def test_any_text_keeps_its_length_or_is_refused_in_place(text: str) -> None:
    try:
        moved, offset = len(plain(text)) - len(text), 0
    except JsoncError as error:
        moved, offset = 0, error.offset
    assert moved == 0
    assert 0 <= offset <= len(text)


@pytest.mark.parametrize("text", ["[,]", "{,}", "[1,,]", '{"a":,}', ",", "[1],", '{"a" 1,}'])
def test_a_comma_that_follows_no_item_stays_an_error(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain(text))


def test_a_comment_that_is_never_closed_is_named_where_it_begins() -> None:
    with pytest.raises(JsoncError, match="never closed") as caught:
        plain('{} /* "a"')
    assert caught.value.offset == 3


def test_brackets_may_nest_as_deep_as_anyone_writes_them_and_no_deeper() -> None:
    assert json.loads(plain("[" * MAX_DEPTH + "]" * MAX_DEPTH)) is not None
    with pytest.raises(JsoncError, match="nested") as caught:
        plain("[" * 100_000)
    assert caught.value.offset == MAX_DEPTH
