"""Every fault of a data set or of its chat template, planted in a file and found by `dataset validate` as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.load import demo_dir

Typed = Callable[..., Any]
BASE = demo_dir() / "base"
TEMPLATE = (BASE / "chat_template.jinja").read_text()
LONG = (
    "My sister and I have not spoken since our mother died, and every week I write her a letter that I do not send, "
    "because I fear what she would say about the house and the money that was left to us."
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a configuration, so that the demo's settings count."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(client: str, therapist: str, **more: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": client}, {"role": "assistant", "content": therapist}]
    return {"messages": turns, **more}


def sound(count: int) -> list[dict[str, Any]]:
    return [said(f"I worry about matter {n} a lot.", f"What about matter {n} is it?") for n in range(count)]


PLANTED: dict[str, dict[str, Any]] = {
    "both-roles": said("I cannot sleep.", "Client: I am sad.\nTherapist: Tell me."),
    "unreadable-row": {"text": "How are you today? I am fine."},
    "control-token": said("I cannot sleep at all.", "What goes on?</s> Tell me."),
    "empty-turn": {"text": "Client: I cannot eat.\nTherapist:\nTherapist: Since when?"},
    "one-word-reply": said("I cannot work.", "Hm."),
    "refusal": said("I cannot rest.", "As an AI language model, I have no feelings."),
    "swapped-roles": said(
        "What goes through your mind when you lie awake at night, and how do you feel in the morning?",
        "I keep worrying about my work and I cannot sleep, and my sister says that I should rest more.",
    ),
    "replacement-character": said("I cannot think.", "That\ufffds very lonely."),
    "invisible-character": said("I cannot cope.", "That is\u200b very lonely."),
    "email": said("Mail jane.roe@example.org, I cannot talk.", "I will do that."),
    "phone": said("Call (415) 555-2671, I cannot write.", "I will call."),
    "card": said("My card is 4111 1111 1111 1111, I cannot pay.", "I see that."),
    "key": said("I lost a thing.", "Use hf_abcdefghijklmnopqrstuvwxyz012345 then."),
    "duplicate": sound(1)[0],
    "without-reply": {"text": "Client: Nobody answers me."},
    "suspect-label": {"text": "Client: I cannot wait.\nTherpist: For what?\nTherapist: Tell me."},
    "cut": said("I cannot stop.", "Tell me more about her and me. " * 200),
    "shortened": said("I worry about her and me. " * 200, "So, what of it?"),
    "repeated-prompt": said("I worry about matter 3 a lot.", "Another answer to it."),
}


def test_each_fault_of_a_file_is_named_with_its_row(typed: Typed, here: Path) -> None:
    rows = [*sound(20), *PLANTED.values()]
    (here / "data.json").write_text(json.dumps(rows, indent=1))
    answer = typed("dataset", "validate", "data.json", "--json")
    assert answer.code == 3
    report = json.loads(answer.out)
    found = {(each["code"], each["row"]) for each in report["errors"]}
    found |= {(group["code"], row) for group in report["warnings"] for row in group["rows"]}
    assert {(code, row) for row, code in enumerate(PLANTED, start=21)} <= found
    # What else is said is true as well: the long replies repeat their own words, the numbers are in no other row.
    assert {code for code, _ in found} == set(PLANTED)
    plain = typed("dataset", "validate", "data.json")
    for secret in ("jane", "example.org", "2671", "4111", "abcdef", "sister", "lonely"):
        assert secret not in plain.out + answer.out


def test_leakage_and_a_starving_domain_are_named(typed: Typed, here: Path) -> None:
    rows = [dict(each, domain="work") for each in sound(70)]
    rows.append(said(LONG, "This answer is all I have.", domain="grief"))
    (here / "held.json").write_text(json.dumps([said(LONG.replace("every week", "each week"), "And what else?")]))
    (here / "data.json").write_text(json.dumps(rows))
    settings = {"base_model": str(BASE), "dataset": "data.json", "validation_dataset": "held.json"}
    (here / "training_config.json").write_text(json.dumps({**settings, "max_length": 512, "bin_tokens": 512}))
    report = json.loads(typed("dataset", "validate", "--json").out)
    warnings = {group["code"]: group for group in report["warnings"]}
    assert warnings["leaked-prompt"]["rows"] == [71]
    assert '"grief" has 1 training' in warnings["small-domain"]["first"]["what"]


@pytest.mark.parametrize(
    ("code", "template", "tokenizer"),
    [
        ("unusable-template", TEMPLATE.replace("eos_token", "''"), {}),
        ("unusable-template", TEMPLATE.replace("turn['content']", "turn['content'] | upper"), {}),
        ("unusable-template", "{% for m in messages %}{{ m['content'] }", {}),
        ("end-missing", TEMPLATE.replace("eos_token", "(eos_token if loop.last else '')"), {}),
        ("bos-doubled", TEMPLATE.replace("bos_token", "bos_token + bos_token"), {}),
        ("pad-is-end", TEMPLATE, {"pad_token": "</s>"}),
    ],
)
def test_each_fault_of_a_chat_template_is_named(
    typed: Typed, here: Path, code: str, template: str, tokenizer: dict[str, str]
) -> None:
    base = here / "base"
    base.mkdir()
    for path in BASE.iterdir():
        (base / path.name).symlink_to(path)
    for name, content in (
        ("chat_template.jinja", template),
        ("tokenizer_config.json", json.dumps(json.loads((BASE / "tokenizer_config.json").read_text()) | tokenizer)),
    ):
        (base / name).unlink()
        (base / name).write_text(content)
    rows = [{"text": f"Client: A {n}.\nTherapist: Why {n}?\nClient: So {n}.\nTherapist: I see {n}."} for n in range(9)]
    (here / "data.json").write_text(json.dumps(rows))
    answer = typed("dataset", "validate", "data.json", "--base-model", base, "--json")
    report = json.loads(answer.out)
    errors = {each["code"] for each in report["errors"]}
    warnings = {group["code"]: group["rows"] for group in report["warnings"]}
    assert {*errors, *warnings} == {code}
    assert answer.code == (3 if errors else 0)
    if code in ("bos-doubled", "end-missing"):
        rows_named = warnings.get(code) or [each["row"] for each in report["errors"]]
        assert sorted(rows_named) == list(range(1, 10))


def test_the_demo_has_no_error_and_its_own_template_no_fault(typed: Typed) -> None:
    for name in ("conversations.json", "validation.json"):
        answer = typed("dataset", "validate", demo_dir() / name, "--json")
        report = json.loads(answer.out)
        assert (answer.code, report["errors"], report["ok"]) == (0, [], True)
        assert {group["code"] for group in report["warnings"]} <= {"near-duplicate", "repeated-prompt", "leaked-reply"}
