"""Labelled transcripts: what is a label, what is text, and what is refused."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.conversation import Role, Turn, tidy
from engine.data.transcript import TranscriptError, parse, read_transcript

T, C = Role.THERAPIST, Role.CLIENT


def said(text: str) -> list[tuple[Role, str]]:
    return [(turn.role, turn.text) for turn in parse(text)]


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("Therapist:", T), ("counselor:", T), ("COUNSELLOR -", T), ("T:", T), ("t -", T), ("Therapist\uff1a", T),
        ("Client:", C), ("patient :", C), ("C:", C), ("  p:", C), ("Client -", C),
    ],
)  # fmt: skip
def test_every_documented_label_names_its_role_in_any_case(label: str, role: Role) -> None:
    assert said(f"{label} hello") == [(role, "hello")]


def test_a_label_inside_a_line_is_text() -> None:
    assert said("Client: she said therapist: go on\nTherapist: Yes.") == [
        (C, "she said therapist: go on"),
        (T, "Yes."),
    ]


@pytest.mark.parametrize("line", ["T-shirts help", "C:\\notes", "P-values", "c://x", "Patient-led care"])
def test_a_line_that_only_begins_like_a_label_continues_the_turn(line: str) -> None:
    assert said(f"Client: before\n{line}\nTherapist: after") == [(C, f"before\n{line}"), (T, "after")]


def test_continuation_lines_and_blank_lines_stay_inside_the_turn() -> None:
    assert said("Client: one\r\ntwo\r\n\r\nthree\r\nTherapist:\r\nfour\r\n") == [(C, "one\ntwo\n\nthree"), (T, "four")]


def test_turns_of_one_person_in_a_row_become_one_and_are_counted() -> None:
    transcript = read_transcript("T: a\nTherapist: b\nClient:\nC: c\nTherapist: d")
    assert [(turn.role, turn.text) for turn in transcript.turns] == [(T, "a\nb"), (C, "c"), (T, "d")]
    assert (transcript.merged, transcript.empty) == (1, 1)


def test_unlabelled_text_before_the_first_label_is_refused_with_its_line() -> None:
    with pytest.raises(TranscriptError, match="line 2 of its text stands before the first label") as error:
        parse("\nsecret words\nClient: hi\nTherapist: hello")
    assert "secret" not in str(error.value)


def test_unknown_labels_are_named_with_the_nearest_known_one() -> None:
    with pytest.raises(TranscriptError, match=r'"Therpist:" \(did you mean "Therapist:"\?\)'):
        parse("Therpist: hello\nCleint: hi")


def test_text_without_labels_is_refused_without_quoting_it() -> None:
    with pytest.raises(TranscriptError, match=r"no .Therapist:. or .Client:. label") as error:
        parse("I told nobody about my secret.")
    assert "secret" not in str(error.value)


def test_words_with_a_colon_are_text_where_known_labels_exist() -> None:
    transcript = read_transcript("Client: my list\nWork: bad\nTherapist: Tell me more.")
    assert transcript.turns[0].text == "my list\nWork: bad"
    assert transcript.suspects == ()


def test_a_mistyped_label_among_known_ones_is_noticed() -> None:
    assert read_transcript("Therapist: hi\nClent: hello\nClient: ok").suspects == ("Clent",)


plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1).map(str.strip)
words = plain.filter(lambda text: bool(text))


@given(st.lists(st.tuples(st.sampled_from([T, C]), words), min_size=1, max_size=8))
def test_turns_written_as_a_transcript_come_back(turns: list[tuple[Role, str]]) -> None:
    text = "\n".join(f"{role.capitalize()}: x {body}" for role, body in turns)
    expected = tidy(Turn(role=role, text=f"x {body}") for role, body in turns)
    assert parse(text) == expected.turns


@given(st.text())
def test_any_text_gives_turns_or_a_clear_refusal(text: str) -> None:
    turns: tuple[Turn, ...] = ()
    with contextlib.suppress(TranscriptError):
        turns = parse(text)
    assert all(turn.text == turn.text.strip() != "" for turn in turns)
    assert all(a.role is not b.role for a, b in itertools.pairwise(turns))
