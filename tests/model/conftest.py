"""Tiny bases of the supported families, made once, and bins cut the way training cuts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.model.adapters import Adapted, attach
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec

VOCABULARY = 128
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@dataclass(frozen=True)
class Bin:
    """A packed bin, shaped as engine.data makes them."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    starts: torch.Tensor
    domains: torch.Tensor

    @property
    def targets(self) -> int:
        return int((self.labels >= 0).sum())


@dataclass(frozen=True)
class Conversation:
    ids: tuple[int, ...]
    masked: int
    domain: int


def pack(conversations: Sequence[Conversation], padding: int = 0) -> Bin:
    ids, positions, labels, domains, starts = [], [], [], [], [0]
    for one in conversations:
        ids += one.ids
        positions += range(len(one.ids))
        labels += [*(t if i >= one.masked else -100 for i, t in enumerate(one.ids) if i), -100]
        domains += [one.domain] * len(one.ids)
        starts.append(len(ids))
    return Bin(
        input_ids=torch.tensor(ids + [0] * padding),
        position_ids=torch.tensor(positions + list(range(padding))),
        labels=torch.tensor(labels + [-100] * padding),
        starts=torch.tensor(starts, dtype=torch.int32),
        domains=torch.tensor(domains + [-1] * padding, dtype=torch.int16),
    )


def conversations(count: int, seed: int = 0, domains: int = 3) -> list[Conversation]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for index in range(count):
        length = int(torch.randint(6, 20, (), generator=generator))
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        made.append(Conversation(ids=tuple(ids), masked=3, domain=index % (domains + 1) - 1))
    return made


def tiny(family: str, seed: int = 0) -> PreTrainedModel:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": VOCABULARY}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    torch.manual_seed(seed)
    if family == "mistral":  # head_dim != hidden / heads, as in the 12B
        return MistralForCausalLM(MistralConfig(**shape, **heads, head_dim=16, tie_word_embeddings=False))
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape, **heads, tie_word_embeddings=False))
    if family == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shape, **heads, tie_word_embeddings=False))
    return Qwen3ForCausalLM(Qwen3Config(**shape, **heads, head_dim=16, tie_word_embeddings=True))


FAMILIES = ("mistral", "llama", "qwen2", "qwen3")


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved model folders with a tokenizer, by family; read only."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        tiny(family).save_pretrained(folder)
        words = Tokenizer(WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", eos_token="w1")
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
        made[family] = folder
    return made


def spread(adapted: Adapted, seed: int = 7, size: float = 0.05) -> Adapted:
    """Move every trained parameter away from its start, so that nothing is hidden by a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter.dtype) * size)
    return adapted


Build = Callable[..., Adapted]


@pytest.fixture
def build() -> Build:
    """A fresh adapted tiny model, routers set, parameters spread."""

    def make(family: str = "mistral", *, double: bool = False, **choices: object) -> Adapted:
        choices = {"rank": 4, "alpha": 8.0, "domains": ("anxiety", "grief", "work"), **choices}
        adapted = attach(tiny(family), AdapterSpec(**choices))  # type: ignore[arg-type]
        normal_routers(adapted, std=0.5)
        spread(adapted)
        if double:
            adapted.model.double()
        return adapted

    return make
