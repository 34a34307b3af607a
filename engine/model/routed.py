"""The routed model in plain transformers: base, adapters, experts and routers from a run, a checkpoint or a copy.

    from engine.model.routed import load_routed
    model, tokenizer = load_routed("therapeutic_moe_model")

`model` is the base's own transformers class with its linears replaced in place, so that `generate` works on it with a
cache as on any other; each token, also a decoded one, is routed by itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from engine.checkpoint.manifest import MANIFEST
from engine.checkpoint.root import best_source
from engine.checkpoint.trainer_state import NAME as TRAINER_STATE
from engine.checkpoint.verify import verify
from engine.model.adapters import Adapted, attach
from engine.model.export import CONFIG, STANDARD, Facts, read_adapter, read_facts, read_spec, template_digest
from engine.model.headers import read_json
from engine.model.load import choose_device, choose_dtype, load_base, load_tokenizer
from engine.model.resolve import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PRECISIONS = ("auto", "float32", "bfloat16")


def load_routed(
    source: Path | str,
    base: str | None = None,
    *,
    device: str = "auto",
    dtype: str | None = None,
    chat_template: Path | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a trained model with its routing active, and its tokenizer.

    Args:
        source: a run (its published model, else its best checkpoint), a checkpoint, or a folder with their files.
        base: the base model, a folder or a hub id; by default the one it was trained on.
        device: `auto`, `cpu` or `cuda`.
        dtype: `float32` or `bfloat16`; by default what it was trained in, in which it routes exactly as in training.
        chat_template: the file it was trained with, where that was not the base's own and is not in `source`.

    Raises:
        ConfigError: the files are damaged, do not belong together, or do not fit the base or the chat template.
    """
    adapted, tokenizer = open_routed(Path(source), base, device=device, dtype=dtype, chat_template=chat_template)
    return adapted.model, tokenizer


def open_routed(
    source: Path,
    base: str | None = None,
    *,
    device: str = "auto",
    dtype: str | None = None,
    chat_template: Path | None = None,
    domains: tuple[str, ...] | None = None,
) -> tuple[Adapted, PreTrainedTokenizerBase]:
    """The same with the handle of the adapters, for gates by decree and for counting.

    `domains` are those by which routing is counted, where the conversations have others than it was trained on.
    """
    folder = find_adapter(source)
    spec, facts = read_spec(folder), read_facts(folder)
    if domains is not None:
        spec = replace(spec, domains=domains)
    place = resolve(base if base is not None else _recorded_base(folder))
    where = choose_device(device)
    own_tokenizer = (folder / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(folder if own_tokenizer else place, chat_template)
    _same_template(tokenizer, facts, folder)
    precision = dtype or facts.base_dtype or "auto"
    if precision not in PRECISIONS:
        raise ConfigError(f"dtype is {precision!r}: it must be one of {', '.join(PRECISIONS)}.")
    model = load_base(place, dtype=choose_dtype(precision, where), device=where)
    adapted = attach(model, spec)
    read_adapter(adapted, folder)
    model.config.use_cache = True
    return adapted, tokenizer


def find_adapter(source: Path) -> Path:
    """The folder whose adapter a person means by `source`; what has a manifest must match it.

    Raises:
        ConfigError: there is none that is whole.
    """
    if not source.is_dir():
        raise ConfigError(f"There is no folder {source} to load a trained model from. Name a run or a checkpoint.")
    if (source / TRAINER_STATE).is_file():
        verdict = verify(source)
        if not verdict.ok:
            raise ConfigError(f"The checkpoint {source} is damaged: {verdict.why}. Use another one of its run.")
        return source
    if (source / STANDARD).is_file() and not (source / MANIFEST).is_file():
        return source
    why: list[str] = []
    folder = best_source(source, on_skip=lambda path, problem: why.append(f"{path.name}: {problem}"))
    if folder is None:
        found = f" ({'; '.join(why)})" if why else ""
        # What `export` makes is a folder of folders.
        inside = sorted(path.parent.name for path in source.glob(f"*/{STANDARD}")) if not why else []
        what = f"one of those in it: {', '.join(inside)}" if inside else "a run or a checkpoint"
        raise ConfigError(f"{source} holds no trained model that is whole{found}. Name {what}.")
    return folder


def _recorded_base(folder: Path) -> str:
    """The base that an adapter says it was trained on."""
    named = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip():
        raise ConfigError(
            f"{folder / CONFIG} does not say on which base the adapter was trained. Name it with --base-model."
        )
    if "/" not in named:
        # A name that travelled: a folder that is called the same here may hold any other model.
        raise ConfigError(
            f"{folder / CONFIG} calls the base {named!r}, without saying where it is. Name its folder or hub id with "
            "--base-model."
        )
    return named


def _same_template(tokenizer: PreTrainedTokenizerBase, facts: Facts, folder: Path) -> None:
    """Conversations rendered in another way than in training give worse answers without a word."""
    if facts.chat_template is None or template_digest(tokenizer.chat_template) == facts.chat_template:
        return
    raise ConfigError(
        f"The adapter in {folder} was trained with another chat template than the tokenizer's. Give the file it was "
        "trained with (chat_template), or load it from its run's directory, where its tokenizer is."
    )
