"""Did-you-mean for an unknown key: a slip of the keyboard, a key of another file, or another tool's name for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from configs.schema import FILES, SECTIONS

NEIGHBOURS: Final = {
    "accumulation_steps": "gradient_accumulation_steps",
    "alpha": "lora_alpha",
    "balance_loss_weight": "load_balancing_weight",
    "aux_loss_coef": "load_balancing_weight",
    "router_aux_loss_coef": "load_balancing_weight",
    "base_model_name_or_path": "base_model",
    "model_name_or_path": "base_model",
    "model_name": "base_model",
    "model_path": "base_model",
    "model": "base_model",
    "batch_size": "per_device_train_batch_size",
    "micro_batch_size": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "beta1": "adam_beta1",
    "beta2": "adam_beta2",
    "epsilon": "adam_epsilon",
    "eps": "adam_epsilon",
    "clip_grad_norm": "max_grad_norm",
    "gradient_clipping": "max_grad_norm",
    "gradient_clip_val": "max_grad_norm",
    "cutoff_len": "max_length",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "max_len": "max_length",
    "model_max_length": "max_length",
    "sequence_len": "max_length",
    "seq_length": "max_length",
    "data": "dataset",
    "data_path": "dataset",
    "datasets": "dataset",
    "dataset_path": "dataset",
    "train_dataset": "dataset",
    "train_file": "dataset",
    "training_dataset": "dataset",
    "dropout": "lora_dropout",
    "early_stopping_patience_steps": "early_stopping_patience",
    "patience": "early_stopping_patience",
    "epochs": "num_train_epochs",
    "n_epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "eval_dataset": "validation_dataset",
    "eval_file": "validation_dataset",
    "validation_file": "validation_dataset",
    "test_size": "eval_fraction",
    "val_set_size": "eval_fraction",
    "val_size": "eval_fraction",
    "validation_split": "eval_fraction",
    "evals_per_epoch": "eval_steps",
    "eval_interval": "eval_steps",
    "experts": "num_experts",
    "n_experts": "num_experts",
    "num_local_experts": "num_experts",
    "num_experts_per_tok": "top_k",
    "experts_per_token": "top_k",
    "k": "top_k",
    "hours": "max_training_hours",
    "max_hours": "max_training_hours",
    "time_limit": "max_training_hours",
    "lr": "learning_rate",
    "max_lr": "learning_rate",
    "peak_lr": "learning_rate",
    "r": "lora_rank",
    "rank": "lora_rank",
    "lora_r": "lora_rank",
    "lora_dim": "lora_rank",
    "num_threads": "threads",
    "output": "output_dir",
    "output_path": "output_dir",
    "profile": "optimization_priority",
    "random_seed": "seed",
    "save_interval_minutes": "checkpoint_interval_minutes",
    "save_steps": "checkpoint_interval_minutes",
    "torch_dtype": "dtype",
    "precision": "dtype",
    "use_gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing",
    "num_warmup_steps": "warmup_steps",
    "wandb_project": "project",
    "wandb_entity": "entity",
    "wandb_name": "name",
    "run_name": "name",
    "wandb_mode": "mode",
}
"""What Hugging Face, PEFT, Axolotl, LLaMA-Factory, Unsloth, torchtune and Lightning call our keys."""

ABSENT: Final = {
    "bf16": 'use `"dtype": "bfloat16"` in training_config.json',
    "fp16": 'half precision is not offered; use `"dtype": "bfloat16"` in training_config.json',
    "load_in_4bit": "the base model is not quantised here",
    "load_in_8bit": "the base model is not quantised here",
    "lr_scheduler_type": "the schedule is always linear warm-up, then a cosine that ends in time",
    "lr_scheduler": "the schedule is always linear warm-up, then a cosine that ends in time",
    "max_steps": "set `num_train_epochs` or `max_training_hours` in training_config.json",
    "optim": "the optimizer is always AdamW",
    "optimizer": "the optimizer is always AdamW",
    "packing": "examples are always packed, and attention never crosses a conversation",
    "resume_from_checkpoint": "resuming belongs on the command line: `--resume`",
    "sample_packing": "examples are always packed, and attention never crosses a conversation",
    "target_modules": "attention and MLP projections are always adapted",
    "lora_target_modules": "attention and MLP projections are always adapted",
    "warmup_ratio": "set `warmup_steps` in training_config.json",
}
"""Keys that are known elsewhere and have no twin here, and why or what instead."""

_CLOSE: Final = 0.75


def keys(section: str) -> tuple[str, ...]:
    """The keys of a section, in the order of its file."""
    return tuple(SECTIONS[section].model_fields)


def homes(key: str) -> tuple[str, ...]:
    """The sections that have this key."""
    return tuple(section for section in SECTIONS if key in keys(section))


def suggest(key: str, section: str | None) -> str:
    """One sentence that leads from an unknown key, met in a section, to the one that was meant."""
    plain = _snake(key)
    if plain in ABSENT:
        return f"{_sentence(ABSENT[plain])}."
    meant = _meant(plain, section, NEIGHBOURS)
    if meant is None:
        file = f" {FILES[section]}" if section else ""
        return f"`run.py config schema{file}` lists every key."
    where = homes(meant)
    if section in where:
        return f"Did you mean `{meant}`?"
    files = " or ".join(FILES[home] for home in where)
    if meant == key:
        return f"That key belongs in {files}."
    return f"Did you mean `{meant}`, in {files}?"


def _meant(plain: str, section: str | None, aliases: Mapping[str, str]) -> str | None:
    if homes(plain):
        return plain
    if plain in aliases:
        return aliases[plain]
    everywhere = [key for home in SECTIONS for key in keys(home)]
    for candidates in (keys(section) if section else (), everywhere, tuple(aliases)):
        close = get_close_matches(plain, candidates, n=1, cutoff=_CLOSE)
        if close:
            return aliases.get(close[0], close[0])
    return None


def _snake(key: str) -> str:
    """`learningRate`, `Learning-Rate` and `LEARNING_RATE` as `learning_rate`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip())
    return re.sub(r"[\s.\-]+", "_", parted).lower()[:100]


def _sentence(text: str) -> str:
    return text if text.startswith("`") else text[0].upper() + text[1:]
