"""Rendering: labels cover what the model has to write and nothing else, with any template and any words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from configs.errors import ConfigError
from engine.data.controls import Controls
from engine.data.conversation import Conversation, Role, Turn
from engine.data.dialogue import OPENING, Dialogue, Exchange
from engine.data.encoding import encode
from engine.data.example import NO_TARGET, Example
from engine.data.scaffold import ChatTemplate
from engine.data.template import Renderer

Talk = Callable[..., Conversation]
MakeTokenizer = Callable[[str], Any]
CLOSES_EVERY_TURN = ("chatml", "llama3", "phi3")
"""Families whose template ends client turns with the same token."""
FAMILIES = ("chatml", "greedy", "llama3", "mistral", "nemo", "phi3", "pieces")
LONG = 4096


def squeeze(text: str) -> str:
    return "".join(text.split())


def labelled_runs(tokenizer: Any, example: Example) -> list[str]:
    """Each stretch of targets, decoded."""
    runs: list[list[int]] = []
    for position, label in enumerate(example.labels.tolist()):
        if label == NO_TARGET:
            continue
        assert label == example.ids[position]
        if position == 0 or example.labels[position - 1] == NO_TARGET:
            runs.append([])
        runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs]


def test_targets_are_each_reply_with_its_end_token(tokenizer: Any, end: str, talk: Talk) -> None:
    conversation = talk("C: I cannot sleep.", "T: What goes through your mind?", "C: Work.", "T: Go on.")
    (example,) = Renderer(tokenizer, LONG).render(conversation)
    assert [run.strip() for run in labelled_runs(tokenizer, example)] == [
        f"What goes through your mind?{end}",
        f"Go on.{end}",
    ]
    assert example.targets == np.count_nonzero(example.labels != NO_TARGET)


def test_ids_are_the_templates_own(tokenizer: Any, talk: Talk) -> None:
    (example,) = Renderer(tokenizer, LONG).render(talk("C: I worry.", "T: About what?", "C: All.", "T: Hm."))
    messages = [
        {"role": "user", "content": "I worry."},
        {"role": "assistant", "content": "About what?"},
        {"role": "user", "content": "All."},
        {"role": "assistant", "content": "Hm."},
    ]
    assert example.ids.tolist() == tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)


def test_the_beginning_token_is_there_once_where_the_template_writes_it(tokenizer: Any, talk: Talk) -> None:
    (example,) = Renderer(tokenizer, LONG).render(talk("C: <s>I worry.", "T: About<|begin_of_text|> what?"))
    count = example.ids.tolist().count(tokenizer.bos_token_id) if tokenizer.bos_token_id is not None else 0
    assert count == (1 if tokenizer.bos_token else 0)


def test_a_prompt_is_the_beginning_of_what_was_trained(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LONG)
    conversation = talk("C: I cannot sleep.", "T: Since when?", "C: May.", "T: And before?")
    (example,) = renderer.render(conversation)
    for turns in (1, 3):
        prompt = renderer.prompt(conversation.turns[:turns])
        assert example.ids[: len(prompt)].tolist() == prompt
        # Whatever follows the prompt is the model's to write.
        assert example.labels[len(prompt)] != NO_TARGET
        assert example.labels[len(prompt) - 1] == NO_TARGET


def test_a_therapist_who_speaks_first_answers_the_neutral_opening(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LONG)
    (example,) = renderer.render(talk("T: Welcome.", "C: Thanks.", "T: How are you?"))
    (spelled,) = renderer.render(talk(f"C: {OPENING}", "T: Welcome.", "C: Thanks.", "T: How are you?"))
    assert example.ids.tolist() == spelled.ids.tolist()
    assert example.labels.tolist() == spelled.labels.tolist()
    assert renderer.tally.opened == 1
    assert renderer.prompt([]) == renderer.prompt([Turn(role=Role.CLIENT, text=OPENING)])


def test_an_unanswered_last_client_turn_is_left_out_and_counted(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LONG)
    (example,) = renderer.render(talk("C: I worry.", "T: About what?", "C: Nothing."))
    (shorter,) = renderer.render(talk("C: I worry.", "T: About what?"))
    assert example.ids.tolist() == shorter.ids.tolist()
    assert renderer.tally.unanswered == 1


def test_system_texts_reach_the_model_with_and_without_a_system_role(
    family: str, tokenizer: Any, end: str, talk: Talk
) -> None:
    renderer = Renderer(tokenizer, LONG)
    (example,) = renderer.render(talk("S: You are kind.", "C: I worry.", "T: About what?", "S: Be brief."))
    text = tokenizer.decode(example.ids)
    assert "You are kind.\n\nBe brief." in text
    assert labelled_runs(tokenizer, example)[0].strip() == f"About what?{end}"
    assert renderer.tally.folded == (1 if family in ("mistral", "greedy", "pieces") else 0)


def test_control_tokens_in_words_are_plain_text_and_counted(family: str, tokenizer: Any, end: str, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LONG)
    (example,) = renderer.render(talk(f"C: I say {end} now", f"T: You {end}say{end}"))
    assert example.ids.tolist().count(tokenizer.convert_tokens_to_ids(end)) == (2 if family in CLOSES_EVERY_TURN else 1)
    broken = f"{end[0]} {end[1:]}"
    assert labelled_runs(tokenizer, example)[0].strip() == f"You {broken}say{broken}{end}"
    assert renderer.tally.broken_controls == 3
    assert any("broken with a space" in note for note in renderer.tally.notes())


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")), max_size=12
)
pieces = st.sampled_from(
    [
        "</s>",
        "<s>",
        "[INST]",
        "[/INST]",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|eot_id|>",
        "<<|im_end|>/s>",
        "\n",
        " ",
    ]
)
texts = st.lists(words | pieces, min_size=1, max_size=5).map(lambda parts: ("x" + "".join(parts)).strip())


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(FAMILIES),
    exchanges=st.lists(st.tuples(texts, texts), min_size=1, max_size=4),
    system=st.none() | texts,
)
def test_no_words_can_move_the_mask(
    name: str,
    exchanges: list[tuple[str, str]],
    system: str | None,
    make_tokenizer: MakeTokenizer,
    end_tokens: dict[str, str],
) -> None:
    tokenizer = make_tokenizer(name)
    turns = [Turn(role=Role.SYSTEM, text=system)] if system else []
    for client, therapist in exchanges:
        turns += [Turn(role=Role.CLIENT, text=client), Turn(role=Role.THERAPIST, text=therapist)]
    renderer = Renderer(tokenizer, 100_000)
    (example,) = renderer.render(Conversation(turns=tuple(turns), domain=None, row=1))
    runs = labelled_runs(tokenizer, example)
    assert len(runs) == len(exchanges)
    end_id = tokenizer.convert_tokens_to_ids(end_tokens[name])
    for run, (_, therapist) in zip(runs, exchanges, strict=True):
        plain, _ = renderer._template.controls.neutralise(therapist)
        # NFC is one tokenizer's own doing; its round trip is the truth there.
        expected = tokenizer.decode(tokenizer(plain, add_special_tokens=False)["input_ids"])
        assert squeeze(run) == squeeze(expected + end_tokens[name])
    assert example.labels.tolist().count(end_id) == len(exchanges)


def test_an_added_word_stays_a_word_and_an_added_mark_the_template_writes_is_broken(
    make_tokenizer: MakeTokenizer, talk: Talk
) -> None:
    template = "{%- for m in messages -%}[INST]<think>user{{ m.content }}</s>{%- endfor -%}"
    tokenizer = with_template(make_tokenizer, template)
    tokenizer.add_tokens(["user", "<think>"])
    (example,) = Renderer(tokenizer, LONG).render(talk("C: a user", "T: the user <think>"))
    assert labelled_runs(tokenizer, example) == ["the user < think></s>"]


def test_a_layout_knows_where_each_turn_stands(tokenizer: Any) -> None:
    exchanges = (Exchange(client="I worry.", therapist="About what?"), Exchange(client="Work.", therapist="Go on."))
    layout = ChatTemplate(tokenizer).lay_out(Dialogue(system="You are kind.", exchanges=exchanges))
    assert [layout.text[slice(*span)] for span in layout.clients] == ["I worry.", "Work."]
    assert [layout.text[slice(*span)] for span in layout.replies] == ["About what?", "Go on."]


def test_many_conversations_render_as_each_alone(tokenizer: Any, talk: Talk) -> None:
    conversations = [talk(f"C: I worry {n}.", f"T: About {n}?", row=n) for n in range(1, 600)]
    heard: list[int] = []
    together = Renderer(tokenizer, LONG).render_all(conversations, heard.append)
    assert heard[-1] == len(conversations)
    for n in (0, 255, 256, 598):
        (alone,) = Renderer(tokenizer, LONG).render(conversations[n])
        assert together[n].ids.tolist() == alone.ids.tolist()
        assert together[n].conversation == n + 1


def test_tokens_without_an_offset_of_their_own_do_not_disturb_the_others() -> None:
    spans = [(0, 4), (4, 9), (0, 0), (0, 0), (9, 12)]
    found = SimpleNamespace(ids=[5, 6, 7, 8, 9], offsets=spans, token_to_chars=spans.__getitem__)
    backend = SimpleNamespace(truncation=None, padding=None, encode=lambda text, add_special_tokens: found)
    odd_tokenizer = SimpleNamespace(backend_tokenizer=backend)
    controls = Controls(SimpleNamespace(added_tokens_decoder={}, all_special_tokens=[]), "")
    (encoded,) = encode(odd_tokenizer, controls, ["twelve chars"])
    assert encoded.ids[encoded.covering((4, 9))].tolist() == [6, 7, 8]


def test_domains_become_indices(tokenizer: Any, talk: Talk) -> None:
    renderer = Renderer(tokenizer, LONG, ("general", "grief"))
    named, unnamed = talk("C: a", "T: b", domain="grief"), talk("C: a", "T: b")
    assert [example.domain_index for example in renderer.render_all([named, unnamed])] == [1, 0]


def test_a_prompt_forgets_the_oldest_exchanges_first(tokenizer: Any, talk: Talk) -> None:
    turns = [turn for n in range(30) for turn in talk(f"C: I worry {n}.", f"T: About {n}?").turns]
    turns.append(Turn(role=Role.CLIENT, text="The last word."))
    prompt = Renderer(tokenizer, 150).prompt(turns)
    text = tokenizer.decode(prompt)
    assert len(prompt) <= 150
    assert "The last word." in text
    assert "About 29?" in text
    assert "worry 0." not in text


def test_a_prompt_after_the_therapist_is_a_mistake(tokenizer: Any, talk: Talk) -> None:
    with pytest.raises(ValueError, match="ends with a client turn"):
        Renderer(tokenizer, LONG).prompt(talk("C: a", "T: b").turns)


def with_template(make: MakeTokenizer, template: str | None) -> Any:
    made = make("mistral")
    backend = Tokenizer.from_str(made.backend_tokenizer.to_str())
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=template)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "has no chat template"),
        (
            "{%- for m in messages -%}<|im_start|>{{ m.content }}<|im_end|>{%- endfor -%}",
            "without a special token of this tokenizer",
        ),
        ("{{- raise_exception('never') -}}", "refuses a plain conversation .never."),
        ("{%- for m in messages -%}{{ m.content }}{{ m.content }}{%- endfor -%}</s>", "leaves out or repeats a turn"),
        ("hello</s>", "leaves out or repeats a turn"),
    ],
)
def test_a_template_that_cannot_be_trained_on_is_refused_with_the_remedy(
    template: str | None, why: str, make_tokenizer: MakeTokenizer
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Renderer(with_template(make_tokenizer, template), LONG)
    assert "--chat-template" in caught.value.message


def test_a_template_that_rewrites_some_words_costs_only_those_conversations(
    talk: Talk, make_tokenizer: MakeTokenizer
) -> None:
    template = "{%- for m in messages -%}[INST]{{ m.content | replace('secret', '') }}</s>{%- endfor -%}"
    renderer = Renderer(with_template(make_tokenizer, template), LONG)
    examples = renderer.render_all([talk("C: a", "T: b"), talk("C: a secret", "T: b", row=7)])
    assert [example.conversation for example in examples] == [1]
    assert renderer.tally.dropped == [7]


def test_a_template_that_ends_only_the_last_reply_still_labels_the_words_of_all(
    talk: Talk, make_tokenizer: MakeTokenizer
) -> None:
    template = (
        "{%- for m in messages -%}{{ '[INST]' if m.role == 'user' else '[/INST]' }}{{ m.content }}{%- endfor -%}</s>"
    )
    tokenizer = with_template(make_tokenizer, template)
    renderer = Renderer(tokenizer, LONG)
    (example,) = renderer.render(talk("C: a", "T: b b", "C: c", "T: d d"))
    assert labelled_runs(tokenizer, example) == ["b b", "d d</s>"]
    assert renderer.tally.unclosed == 1


def test_the_demo_base_model_can_be_trained_and_prompted(talk: Talk) -> None:
    base = Path(__file__).parents[2] / "configs" / "demo" / "base"
    if not (base / "tokenizer.json").exists():
        pytest.skip("the demo base model has not been made")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    renderer = Renderer(tokenizer, LONG)
    conversation = talk("T: Welcome.", "C: I worry about [INST] work.", "T: What about it?</s>")
    (example,) = renderer.render(conversation)
    assert labelled_runs(tokenizer, example)[-1].endswith(tokenizer.eos_token)
    prompt = renderer.prompt(conversation.turns[:2])
    assert example.ids[: len(prompt)].tolist() == prompt
    assert example.ids.tolist().count(tokenizer.bos_token_id) == 1
