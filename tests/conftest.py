"""Shared small things: a Hugging Face checkpoint, a dataset and a run, made once per session, and a command line."""

from __future__ import annotations

import os

# One thread per test process: two would spin against each other on a shared machine (GNU OpenMP).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DOMAINS = ("anxiety", "grief", "relationships", "work")
WORDS = {
    "anxiety": "worry panic breath night racing heart calm fear",
    "grief": "loss mother funeral miss memory tears letter empty",
    "relationships": "partner argue trust distance listen apart together hurt",
    "work": "boss deadline shift tired email project burnout manager",
}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)


def conversations(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Small conversations over four domains, each with words of its own."""
    chance = random.Random(seed)
    rows = []
    for index in range(count):
        domain = DOMAINS[index % 4]
        words = WORDS[domain].split()
        turns = []
        for _ in range(chance.randint(1, 3)):
            turns.append(f"Client: I feel {' '.join(chance.choices(words, k=chance.randint(4, 9)))} number {index}")
            turns.append(f"Therapist: It sounds like {' '.join(chance.choices(words, k=chance.randint(4, 9)))}.")
        rows.append({"text": "\n".join(turns), "domain": domain})
    return rows


@pytest.fixture(scope="session", autouse=True)
def own_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches and remembered speeds of these runs alone: a plan follows them, and a person's own are none of ours."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            monkeypatch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mistral-shaped checkpoint whose head_dim is not hidden / heads, written by `save_pretrained`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "[INST]", "[/INST]"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([row["text"] for row in conversations(80)], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        sliding_window=None,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = MistralForCausalLM(config)
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 conversations in the user's format."""
    path = tmp_path_factory.mktemp("data") / "conversations.json"
    path.write_text(json.dumps({"conversations": conversations(48)}))
    return path


def write_config(
    folder: Path,
    base: Path,
    dataset: Path,
    run: Path,
    /,
    *,
    safety: dict[str, Any] | None = None,
    moe: dict[str, Any] | None = None,
    **training: Any,
) -> Path:
    """Write a small configuration; keyword arguments change training_config.json, `safety` safety_config.json."""
    folder.mkdir(exist_ok=True)
    settings = {
        "base_model": str(base),
        "dataset": str(dataset),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 5e-3,
        "warmup_steps": 3,
        "eval_steps": 5,
        "logging_steps": 2,
        "max_length": 256,
        "bin_tokens": 256,
        "threads": 1,
        "device": "cpu",
        "dtype": "float32",
        "output_dir": str(run),
        "max_training_hours": 1.0,
    }
    (folder / "training_config.json").write_text(json.dumps(settings | training))
    (folder / "safety_config.json").write_text(json.dumps({"checkpoint_interval_minutes": 30} | (safety or {})))
    (folder / "moe_training_config.json").write_text(json.dumps(moe or {}))
    return folder


Configure = Callable[..., Path]


@pytest.fixture
def configured(tmp_path: Path, tiny_base: Path, tiny_dataset: Path) -> Configure:
    """`write_config` into this test's folder, for a run beside it."""

    def write(**choices: Any) -> Path:
        return write_config(tmp_path / "config", tiny_base, tiny_dataset, tmp_path / "run", **choices)

    return write


@pytest.fixture(scope="session")
def configured_at(tiny_base: Path, tiny_dataset: Path) -> Configure:
    """`write_config` into a given folder, for a run beside it that several tests share."""

    def write(home: Path, **choices: Any) -> Path:
        return write_config(home / "config", tiny_base, tiny_dataset, home / "run", **choices)

    return write


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


Typed = Callable[..., Said]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command line in this process: `typed("status", run)` is `python run.py status RUN`."""
    from run import main

    def type_in(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Said(code=code, out=out, err=err)

    return type_in


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_dataset: Path) -> Path:
    """A run that ended well, with its configuration beside it in `config`. Shared: copy it to change it."""
    from run import main

    home = tmp_path_factory.mktemp("finished")
    config = write_config(home / "config", tiny_base, tiny_dataset, home / "run")
    assert main(["--no-tui", "--config", str(config)]) == 0
    return home / "run"
