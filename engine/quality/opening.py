"""Opening the model of a subject, whether it is a run, a checkpoint or a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from configs.errors import UsageError
from engine.model.routed import find_adapter, open_routed
from engine.quality.subject import Subject

if TYPE_CHECKING:
    from engine.model.adapters import Adapted

DEVICES = ("auto", "cpu", "cuda")


def open_model(
    subject: Subject,
    base: str | None,
    *,
    device: str,
    chat_template: Path | None,
    domains: tuple[str, ...] | None = None,
) -> tuple[Adapted, Any]:
    """The model and its tokenizer, on as many threads as its run had.

    A checkpoint, which has no tokenizer of its own, takes its run's chat template.
    """
    if device not in DEVICES:
        raise UsageError(f"--device is {device!r}: it must be one of {', '.join(DEVICES)}.")
    training = None if subject.config is None else subject.config.training
    if training is not None and training.threads is not None:
        torch.set_num_threads(training.threads)
    if chat_template is None and training is not None and training.chat_template is not None:
        own = (find_adapter(subject.source) / "tokenizer.json").is_file()
        chat_template = None if own else Path(training.chat_template)
    return open_routed(subject.source, base, device=device, chat_template=chat_template, domains=domains)
