"""Any legal event, for hypothesis: strategies derived from the annotations of the dataclasses.

`st.from_type(StepCompleted)` draws any step that a journal line can hold, `st.from_type(Record)` any record.
"""

from __future__ import annotations

import dataclasses
import types
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from states.events import KINDS, Event, Record, Unknown
from states.text import clean

settings.register_profile("stint", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stint")

# Small numbers and few names come often, so that random records meet: the same step, path or command id again.
INTEGERS = st.integers(0, 12) | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(0, 10) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["a", "b", "train", "subset", "evaluate", "expired: the run ended"]) | st.text().map(clean)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def derived(tp: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotated type that survives JSON."""
    origin, args = get_origin(tp), get_args(tp)
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not types.NoneType)
        return st.none() | derived(inner)
    if origin is tuple:
        return st.lists(derived(args[0]), max_size=5).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXTS, derived(args[1]), max_size=4)
    if tp is Any:
        return JSON
    if dataclasses.is_dataclass(tp):
        hints = get_type_hints(tp)
        return st.builds(tp, **{field.name: derived(hints[field.name]) for field in dataclasses.fields(tp)})
    if issubclass(tp, Enum):
        return st.sampled_from(tp)
    return {int: INTEGERS, float: FLOATS, str: TEXTS, bool: st.booleans()}[tp]


for cls in KINDS.values():
    st.register_type_strategy(cls, derived(cls))

EVENTS: st.SearchStrategy[Event] = st.one_of(*(st.from_type(cls) for cls in KINDS.values()))
UNKNOWN = st.builds(
    Unknown, kind=TEXTS.filter(lambda kind: kind not in KINDS), data=st.dictionaries(TEXTS, JSON, max_size=3)
)
st.register_type_strategy(Unknown, UNKNOWN)
st.register_type_strategy(
    Record,
    st.builds(Record, seq=st.integers(0, 2**53), wall=FLOATS, mono=FLOATS, event=st.one_of(EVENTS, UNKNOWN)),
)
