"""From a path to what an export is made of: the model, what its run says of it, and the conversations it held out."""

from __future__ import annotations

from pathlib import Path

import orjson

from configs.errors import DataError
from engine.checkpoint.root import verify_root
from engine.data.template import Renderer
from engine.model.export import read_facts
from engine.model.routed import find_adapter
from engine.quality.heldout import held_out
from engine.quality.opening import open_model
from engine.quality.subject import Subject
from engine.release.exporting import Held, Trained
from engine.release.gathered import read_evaluation, read_info
from states.portable import portable_name


def gather(subject: Subject, *, base: str | None, base_name: str | None, device: str) -> Trained:
    """Load the model; raises `ConfigError` or `UsageError`.

    `base` is where to load the base from, by default what the run recorded; `base_name` is what the adapters should say
    it is called, by default the same, or only its name where that is a folder: they are made to leave this machine.
    """
    folder = find_adapter(subject.source)
    adapted, tokenizer = open_model(subject, base, device=device, chat_template=None)
    recorded = orjson.loads((folder / "adapter_config.json").read_bytes())["base_model_name_or_path"]
    # Only the published model is what model_info.json and an evaluation tell of; a checkpoint is another model.
    published = subject.run == subject.source and folder == subject.source and verify_root(folder, hashes=False).ok
    info = read_info(folder) if published else {"base_model": recorded}
    called = base_name or portable_name(str(recorded))
    info |= {"base_model": called}
    return Trained(
        adapted=adapted,
        tokenizer=tokenizer,
        info=info,
        base_name=called,
        chat_template=read_facts(folder).chat_template,
        evaluation=read_evaluation(folder) if published else None,
        title=(subject.source if published or subject.run is None else subject.run).absolute().name,
    )


def gather_held(subject: Subject, trained: Trained, test_data: Path | None, *, seed: int, limit: int | None) -> Held:
    """The conversations to measure on, as the trainer saw them; raises `DataError` or `UsageError`."""
    found = held_out(subject, test_data, limit=limit, seed=seed)
    positions = int(getattr(trained.adapted.model.config, "max_position_embeddings", 2048))
    training = None if subject.config is None else subject.config.training
    longest = min(2048, positions) if training is None else training.max_length
    examples = Renderer(trained.tokenizer, longest, found.domains).render_all(found.conversations)
    if not examples:
        raise DataError(
            f"No conversation of {found.name} can be rendered with this model's chat template, so there is nothing to "
            "measure on. Name other conversations with --test-data, or export with --no-measure."
        )
    return Held(
        examples=examples,
        domains=found.domains,
        bin_tokens=max(longest, 2048 if training is None else training.bin_tokens),
    )
