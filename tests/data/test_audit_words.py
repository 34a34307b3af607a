"""Each fault that words can have, planted by itself: found by name, with its row, and told without the words."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.load import demo_dir
from engine.data.audit import check_conversation, check_domains, check_prompts, check_sides, check_wording
from engine.data.checks.balance import small_domains
from engine.data.checks.finding import KEPT_ROWS, Finding, Kind, Ledger, Severity
from engine.data.checks.rows import check_rows
from engine.data.conversation import Conversation
from engine.data.formats import read, scan

Talk = Callable[..., Conversation]
CLIENT = "C: I keep worrying about my work and I cannot sleep at night."
PLANTED = {
    "both-roles": (CLIENT, "T: Let us see.\nClient: I am sad.\nTherapist: Tell me."),
    "stray-label": (CLIENT, "T: I see what you mean. Client: I am sad."),
    "control-token": (CLIENT, "T: What goes on?<|im_end|> Tell me."),
    "refusal": (CLIENT, "T: As an AI language model, I do not have feelings."),
    "one-word-reply": (CLIENT, "T: Hm."),
    "replacement-character": (CLIENT, "T: That\ufffds very lonely."),
    "invisible-character": (CLIENT, "T: That is\u200b very lonely."),
    "email": (CLIENT + " Mail jane.roe@example.org.", "T: I will do that."),
    "phone": (CLIENT + " Call (415) 555-2671.", "T: I will do that."),
    "card": (CLIENT + " My card is 4111 1111 1111 1111.", "T: I will do that."),
    "key": (CLIENT, "T: Use hf_abcdefghijklmnopqrstuvwxyz012345 then."),
    "swapped-roles": (
        "C: What goes through your mind when you lie awake at night, and how do you feel in the morning?",
        "T: I keep worrying about my work and I cannot sleep, and my sister says that I should rest more.",
    ),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_fault_is_found_by_name_and_row(talk: Talk, code: str) -> None:
    [finding] = check_conversation(talk(*PLANTED[code], row=17))
    assert (finding.kind.code, finding.row) == (code, 17)
    assert finding.kind.severity is (Severity.ERROR if code == "both-roles" else Severity.WARNING)
    assert finding.place in ("turn 1", "turn 2", "")


def test_a_number_is_found_in_the_digits_of_every_script(talk: Talk) -> None:
    zeros = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.decimal(chr(code), None) == 0]
    assert len(zeros) > 60
    for zero in zeros:
        number = "".join(chr(ord(zero) + int(digit)) for digit in "4155552671")
        conversation = talk(f"C: It is \u201c{number}\u201d, caf\u00e9.", "T: I will call you.")
        assert [each.kind.code for each in check_conversation(conversation)] == ["phone"], hex(ord(zero))


@pytest.mark.parametrize("unseen", ["\x07", "\x7f", "\x85", "\u00ad", "\u200b", "\u202e", "\u2064", "\ufeff", "\ud800"])
def test_an_invisible_character_is_found_among_lines_and_spaces(talk: Talk, unseen: str) -> None:
    conversation = talk(CLIENT, f"T: One line.\n\u00a0Another{unseen} line \u2013 with a dash.")
    assert [each.kind.code for each in check_conversation(conversation)] == ["invisible-character"]


@pytest.mark.parametrize("code", PLANTED)
def test_no_finding_repeats_what_was_said(talk: Talk, code: str) -> None:
    said = json.dumps([each.sentence for each in check_conversation(talk(*PLANTED[code]))])
    for secret in ("jane", "example.org", "555", "2671", "4111", "abcdef", "worrying", "lonely", "feelings", "sister"):
        assert secret not in said


@pytest.mark.parametrize(
    "said",
    [
        "I was born in 1974 and it is 2019 now, 45 years.",
        "Call the help line at 1-800-273-8255 or 800 662 4357.",
        "Room 4111 1111 1111 1112 is no card, nor is 0000 0000 0000 0000.",
        "My counselor said: breathe. As my client: she is fine. See https://example.org/1234567890123.",
        "Family: \U0001f468\u200d\U0001f469\u200d\U0001f467. Caf\u00e9, na\u00efve, \u00bfqu\u00e9? 3 < 5 [sic].",
        "An AI wrote the song you like, and I am an aid to you.",
    ],
)
def test_ordinary_words_are_no_fault(talk: Talk, said: str) -> None:
    assert list(check_conversation(talk(f"C: {said}", f"T: {said}"))) == []


def test_a_therapist_who_speaks_of_themselves_is_not_taken_for_the_client(talk: Talk) -> None:
    modest = talk(
        "C: Do you think that I worry too much about my work and my sister? I cannot sleep at all.",
        "T: I think that I would worry too, and I wonder whether my view helps. What do you think yourself?",
    )
    assert list(check_conversation(modest)) == []


def test_what_reading_left_out_is_found_with_its_rows(tmp_path: Path) -> None:
    good = {"text": "Client: I worry.\nTherapist: What about?"}
    rows = [
        good,
        {"text": "Client: I worry.\nTherapist:   What about?"},
        {"text": "Client: Nobody answers me."},
        {"text": "Client: I worry a lot.\nTherapist:\nTherapist: About what?"},
        {"text": "Client: I worry too.\nTherpist: About what?\nTherapist: Tell me."},
        {"text": "no labels at all"},
        {"messages": [{"role": "usr", "content": "a"}, {"role": "assistant"}]},
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(rows))
    found = [(each.kind.code, each.row) for each in check_rows(scan(path))]
    assert found == [
        ("unreadable-row", 6),
        ("unreadable-row", 7),
        ("unreadable-row", 7),
        ("without-reply", 3),
        ("duplicate", 2),
        ("empty-turn", 4),
        ("suspect-label", 5),
    ]


def test_repeated_prompts_are_a_leakage_risk(talk: Talk) -> None:
    ledger = Ledger()
    check_prompts(
        [talk(CLIENT, f"T: Answer {n}.", row=n) for n in (1, 2, 3)] + [talk("C: Other.", "T: B.", row=4)], ledger
    )
    group = ledger.group("repeated-prompt")
    assert group is not None
    assert (group.rows, group.count) == ([2, 3], 2)


LONG = (
    "My sister and I have not spoken since our mother died, and every week I write her a letter that I do not send, "
    "because I fear what she would say about the house and the money that was left to us."
)


def test_near_duplicates_across_the_sides_are_leakage(talk: Talk) -> None:
    edited = LONG.replace("every week", "each week")
    train = [talk(f"C: {LONG}", "T: That sounds very lonely indeed.", row=1), talk(CLIENT, "T: Tell me more.", row=2)]
    held = [talk(f"C: {edited}", "T: And what would you like to tell her?", row=3)]
    ledger = Ledger()
    assert check_sides(train, held, ledger)
    assert [(group.kind.code, group.rows) for group in ledger.warnings] == [("leaked-prompt", [1])]


def test_one_reply_on_both_sides_is_leakage(talk: Talk) -> None:
    train = [talk("C: I cannot sleep.", f"T: {LONG}", row=1)]
    held = [talk("C: My work is hard.", f"T: {LONG}", row=2)]
    ledger = Ledger()
    check_sides(train, held, ledger)
    assert [(group.kind.code, group.rows) for group in ledger.warnings] == [("leaked-reply", [1])]


def test_near_duplicates_in_training_are_found(talk: Talk) -> None:
    train = [
        talk(f"C: {LONG}", "T: That sounds very lonely.", row=5),
        talk(CLIENT, "T: Tell me more.", row=6),
        talk(f"C: {LONG}", "T: This sounds very lonely.", row=7),
    ]
    ledger = Ledger()
    check_sides(train, [], ledger)
    assert [(group.kind.code, group.rows) for group in ledger.warnings] == [("near-duplicate", [7])]


def test_a_search_above_its_bound_is_not_made(talk: Talk) -> None:
    ledger = Ledger()
    assert not check_sides([talk(f"C: {LONG}", "T: Yes.")], [talk(f"C: {LONG}", "T: No.")], ledger, limit=100)
    assert ledger.warnings == []


def test_a_domain_too_small_for_its_expert_is_named() -> None:
    [finding] = small_domains({"grief": 500, "anger": 40}, wanted=64, experts=4)
    assert finding.kind.code == "small-domain"
    assert '"anger" has 40' in finding.sentence
    assert list(small_domains({"grief": 500, "anger": 400}, wanted=64, experts=4)) == []
    assert list(small_domains({"general": 9}, wanted=64, experts=4)) == []
    many = {"a": 400, "b": 300} | {f"topic {n}": 3 for n in range(20)}
    assert list(small_domains(many, wanted=64, experts=2)) == []


def test_the_demo_gives_no_error_and_no_warning_of_words() -> None:
    for name in ("conversations.json", "validation.json"):
        ledger = Ledger()
        check_wording(read(demo_dir() / name), ledger)
        assert (ledger.errors, ledger.warnings) == ([], [])


def test_a_ledger_counts_on_when_it_has_stopped_remembering() -> None:
    kind = Kind(code="x", severity=Severity.WARNING, title="Things", remedy="Mend them.")
    ledger = Ledger()
    ledger.add(Finding(kind=kind, row=number, sentence="a thing.") for number in range(1, KEPT_ROWS + 500))
    [group] = ledger.warnings
    assert (group.count, len(group.findings)) == (KEPT_ROWS + 499, KEPT_ROWS)
    assert group.note("row") == "Things: 1,499 (rows 1, 2, 3, 4, 5, ...). Mend them."


def test_domains_count_only_where_there_are_experts() -> None:
    from configs.schema import MoeConfig

    for mode, found in (("moe", 1), ("lora", 0)):
        ledger = Ledger()
        check_domains({"a": 100, "b": 3}, MoeConfig(adapter_mode=mode), ledger)
        assert len(ledger.warnings) == found
