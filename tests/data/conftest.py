"""Small real tokenizers, one per family of chat template, trained in a moment on a few sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from engine.data.conversation import Conversation, Role, Turn

CORPUS = [
    "I keep worrying about my work and I cannot sleep at night.",
    "What goes through your mind when you lie awake?",
    "My sister and I have not spoken since our mother died.",
    "That sounds very lonely. Would you like to tell me more about her?",
    "system user assistant Hello. Therapist Client [INST] [/INST]\n\nYou are kind.",
]

MISTRAL = """{%- if messages[0]['role'] == 'system' -%}
{{- raise_exception('System role not supported') -}}{%- endif -%}{{- bos_token -}}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}{%- endif -%}
{%- if message['role'] == 'user' -%}{{- '[INST] ' + message['content'] + ' [/INST]' -}}
{%- else -%}{{- ' ' + message['content'] + eos_token -}}{%- endif -%}{%- endfor -%}"""

CHATML = """{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

LLAMA3 = """{{- bos_token -}}{%- for message in messages -%}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"""

# Mistral Nemo's habit: the system text is written inside the last user turn.
NEMO = """{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] -%}
{%- set turns = messages[1:] -%}{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}
{{- bos_token -}}{%- for message in turns -%}{%- if message['role'] == 'user' -%}
{{- '[INST]' + (system + '\\n\\n' if system and loop.index0 >= turns | length - 2 else '') + message['content']
+ '[/INST]' -}}
{%- else -%}{{- message['content'] + eos_token -}}{%- endif -%}{%- endfor -%}"""

# Phi 3: control tokens swallow the white space after them, as in "greedy" below.
PHI3 = """{%- for message in messages -%}{{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"""

FAMILIES: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    # name -> template, named specials, further specials, the end token
    "mistral": (MISTRAL, {"bos_token": "<s>", "eos_token": "</s>"}, ["[INST]", "[/INST]"], "</s>"),
    "chatml": (CHATML, {"eos_token": "<|im_end|>"}, ["<|im_start|>"], "<|im_end|>"),
    "llama3": (
        LLAMA3,
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        ["<|start_header_id|>", "<|end_header_id|>"],
        "<|eot_id|>",
    ),
    "nemo": (NEMO, {"bos_token": "<s>", "eos_token": "</s>"}, ["[INST]", "[/INST]"], "</s>"),
    "phi3": (PHI3, {"eos_token": "<|end|>"}, ["<|system|>", "<|user|>", "<|assistant|>"], "<|end|>"),
    "greedy": (MISTRAL, {"bos_token": "<s>", "eos_token": "</s>"}, ["[INST]", "[/INST]"], "</s>"),
    # Mistral's template where [INST] is ordinary text, on a SentencePiece-like tokenizer.
    "pieces": (MISTRAL, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, [], "</s>"),
}


@cache
def make_tokenizer(family: str) -> Any:
    template, named, further, _ = FAMILIES[family]
    greedy = family in ("phi3", "greedy")
    specials = [AddedToken(text, rstrip=greedy, special=True) for text in (*named.values(), *further)]
    if family == "pieces":
        backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Sequence(
            [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*specials, *alphabet], show_progress=False)
        backend.train_from_iterator(CORPUS, trainer)
        # Byte pieces are ordinary vocabulary, not added tokens, in real tokenizers of this kind.
        backend = _demote(backend, keep=list(named.values()))
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, chat_template=template, additional_special_tokens=further, **named
    )


def _demote(backend: Tokenizer, keep: list[str]) -> Tokenizer:
    state = json.loads(backend.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in keep]
    return Tokenizer.from_str(json.dumps(state))


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(family: str) -> Any:
    return make_tokenizer(family)


def talk(*turns: str, domain: str | None = None, row: int = 1) -> Conversation:
    """Turns written as `T: ...`, `C: ...` or `S: ...`."""
    roles = {"T": Role.THERAPIST, "C": Role.CLIENT, "S": Role.SYSTEM}
    return Conversation(turns=tuple(Turn(role=roles[turn[0]], text=turn[3:]) for turn in turns), domain=domain, row=row)


@pytest.fixture(scope="session", name="talk")
def talk_fixture() -> Callable[..., Conversation]:
    return talk


@pytest.fixture(scope="session", name="make_tokenizer")
def make_tokenizer_fixture() -> Callable[[str], Any]:
    return make_tokenizer


@pytest.fixture(scope="session")
def end_tokens() -> dict[str, str]:
    """The end token of each family."""
    return {name: family[3] for name, family in FAMILIES.items()}


@pytest.fixture
def end(family: str, end_tokens: dict[str, str]) -> str:
    return end_tokens[family]
