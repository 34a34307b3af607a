"""Places asked for one by one are those of the whole list, whatever a tokenizer's offsets look like."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.controls import Controls
from engine.data.encoding import Encoded, encode
from engine.data.offsets import MOST_ASKED, Offsets

Spans = list[tuple[int, int]]
TEXTS = (
    "plain words",
    "caf\u00e9 \u65e5\u672c\u8a9e \U0001f469\u200d\U0001f469\u200d\U0001f467 ok",
    "a\u0301b  \n\t c",
    "x",
)


def encoding(spans: Spans) -> Any:
    """What the tokenizers library would hand back."""
    return SimpleNamespace(ids=list(range(len(spans))), offsets=spans, token_to_chars=spans.__getitem__)


def running(spans: Spans) -> Spans:
    return [(int(a), int(b)) for a, b in np.maximum.accumulate(np.array(spans).reshape(-1, 2), axis=0)]


@st.composite
def offsets(draw: st.DrawFn) -> Spans:
    """Offsets that rise, with empty ones among them, or tokens that share a character."""
    spans, at = [], 0
    for width in draw(st.lists(st.sampled_from([0, 0, 1, 3, -1]), min_size=1, max_size=40)):
        if width < 0:
            spans.append((0, 0))
            continue
        spans.append((max(0, at - (width == 0)), at + width))
        at += width
    return spans


@given(offsets(), st.data())
def test_searching_by_asking_finds_what_searching_the_list_finds(spans: Spans, data: st.DataObject) -> None:
    encoded = Encoded(
        ids=np.arange(len(spans), dtype=np.int32),
        control=np.zeros(len(spans), dtype=np.bool_),
        place=Offsets(encoding(spans)),
    )
    starts, ends = np.array(running(spans)).T
    for _ in range(3):
        start, stop = sorted(data.draw(st.tuples(st.integers(0, 60), st.integers(0, 60))))
        assert encoded.index_at(stop) == int(starts.searchsorted(stop, side="left"))
        assert encoded.covering((start, stop)).start == int(ends.searchsorted(start, side="right"))


@given(offsets())
def test_asked_often_or_seldom_the_answer_is_one(spans: Spans) -> None:
    often = Offsets(encoding(spans))
    for _ in range(MOST_ASKED // len(spans) + 2):
        asked = [often(index) for index in range(len(spans))]
    assert asked == running(spans)


@pytest.mark.parametrize("text", TEXTS)
def test_a_real_tokenizer_tells_the_same_place_either_way(tokenizer: Any, text: str) -> None:
    (encoded,) = encode(tokenizer, Controls(tokenizer, ""), [text])
    listed = running(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets)
    assert [encoded.place(index) for index in range(len(encoded))] == listed
