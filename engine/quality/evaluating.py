"""The `evaluate` command's work: find model and data, take up what is finished, run the rest, say where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from configs.errors import UsageError
from engine.model.adapters import Adapted
from engine.model.export import CONFIG, EXPERTS, STANDARD, template_digest
from engine.model.fingerprint import fingerprint
from engine.model.headers import read_json
from engine.model.load import fetch
from engine.model.resolve import resolve
from engine.model.routed import find_adapter
from engine.quality.bench import QUICK, Bench, Settings, file_digest
from engine.quality.collect import load as load_stimuli
from engine.quality.evaluation import Part, Run, Subjects
from engine.quality.findings import Evaluation
from engine.quality.folder import REPLIES, EvaluationFolder, ReplyFile
from engine.quality.heldout import HeldOut, held_out
from engine.quality.opening import open_model
from engine.quality.parts import PARTS
from engine.quality.speaker import Progress
from engine.quality.stopping import stoppable
from engine.quality.subject import Subject, find_subject
from states.portable import portable_name

_MAX_REPLIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options as typed; None where nothing was."""

    model_path: Path | None = None
    test_data: Path | None = None
    output_dir: Path | None = None
    quick: bool = False
    seed: int = 42
    limit: int | None = None
    replies: int | None = None
    max_tokens: int | None = None
    stimuli: Path | None = None
    locale: str = "en-US"
    show_text: bool = False
    fresh: bool = False
    base_model: str | None = None
    chat_template: Path | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What came of it."""

    evaluation: Evaluation
    folder: Path
    interrupted: bool


def evaluate(
    request: Request, progress: Progress, say: Callable[[str], None], parts: Sequence[Part] = PARTS
) -> Evaluated:
    """Evaluate; `say` hears sentences for the person. Raises a `UserError` for whatever is wrong with the request."""
    subject = find_subject(request.model_path)
    settings = _settings(request)
    held = held_out(subject, request.test_data, limit=settings.limit, seed=settings.seed)
    find_adapter(subject.source)
    load_stimuli(request.stimuli, request.locale)
    folder = EvaluationFolder(request.output_dir or subject.evaluation_dir(quick=request.quick))
    folder.open()
    progress("load the model", 0, 1)
    adapted, tokenizer = open_model(
        subject, request.base_model, device=request.device, chat_template=request.chat_template, domains=held.domains
    )
    progress("load the model", 1, 1)
    of = Subjects(
        model=_model_facts(subject, adapted, tokenizer, request.base_model),
        data=_data_facts(held),
        settings=asdict(settings) | _cases_facts(request.stimuli),
        quick=request.quick,
    )
    kept = None if request.fresh else folder.load(of.key)
    if kept is not None:
        say(f"Going on with the evaluation in {folder.path}: {', '.join(kept.parts)} done. --fresh starts anew.")
    elif folder.holds_another(of.key):
        say(f"The evaluation in {folder.path} was of another model, data or settings; this one takes its place.")
    run = Run(of, parts, folder, kept)
    record = None
    if request.show_text:
        record = ReplyFile(folder.path / REPLIES, finished=() if kept is None else kept.parts)
    elif folder.drop_replies():
        say(f"Removed {folder.path / REPLIES}, the replies of an earlier evaluation; --show-text keeps them.")
    try:
        with stoppable() as stop:
            bench = Bench(
                adapted=adapted,
                tokenizer=tokenizer,
                held=held,
                settings=settings,
                stimuli=request.stimuli,
                subject=subject,
                progress=progress,
                stop=stop,
                tuned_recorder=None if record is None else partial(record.add, "trained"),
                base_recorder=None if record is None else partial(record.add, "base"),
            )

            def begin(part: str) -> None:
                if record is not None:
                    record.part = part

            found = run.go(bench, begin)
    finally:
        if record is not None:
            record.close()
    return Evaluated(evaluation=found, folder=folder.path, interrupted=run.interrupted)


def _settings(request: Request) -> Settings:
    usual = QUICK if request.quick else Settings()
    replies = usual.replies if request.replies is None else request.replies
    max_tokens = usual.max_tokens if request.max_tokens is None else request.max_tokens
    if not 2 <= replies <= _MAX_REPLIES:
        raise UsageError(f"--replies is {replies}: give a number from 2 to {_MAX_REPLIES:,}.")
    if request.stimuli is not None and not request.stimuli.is_dir():
        raise UsageError(f"There is no folder {request.stimuli} with cases for the checks. Correct --stimuli.")
    return Settings(
        quick=request.quick,
        seed=request.seed,
        limit=usual.limit if request.limit is None else request.limit,
        replies=replies,
        max_tokens=max_tokens,
        locale=request.locale,
        show_text=request.show_text,
    )


def _model_facts(subject: Subject, adapted: Adapted, tokenizer: Any, named: str | None) -> dict[str, Any]:
    folder = find_adapter(subject.source)
    base = named or str(read_json(folder / CONFIG).get("base_model_name_or_path"))
    return {
        "folder": subject.source.absolute().name,
        # Its name travels with the model, so that another base of this name is told by its weights.
        "base": portable_name(base),
        "base_fingerprint": fingerprint(fetch(resolve(base))),
        "adapter_sha256": file_digest(folder / STANDARD),
        "experts_sha256": file_digest(folder / EXPERTS),
        "template_sha256": template_digest(tokenizer.chat_template),
        "routed": adapted.spec.routed,
        "precision": str(adapted.embeddings.weight.dtype).removeprefix("torch."),
        "device": adapted.device.type,
        "threads": torch.get_num_threads(),
    }


def _cases_facts(own: Path | None) -> dict[str, Any]:
    """The cases of the safety and bias checks: other cases make another evaluation, another place for them does not."""
    folders = [Path(__file__).parent / "stimuli", *([] if own is None else [own])]
    files = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    told = "\x00".join(f"{path.name}:{file_digest(path)}" for path in files)
    # A name without its folder: this travels with the model.
    named = None if own is None else own.absolute().name
    return {"stimuli": named, "cases_sha256": hashlib.sha256(told.encode()).hexdigest()}


def _data_facts(held: HeldOut) -> dict[str, Any]:
    return {
        "name": held.name,
        "sha256": held.digest,
        "conversations": len(held.conversations),
        "of_conversations": held.of,
        "trained_on": held.trained,
        "domains": list(held.domains),
        "notes": list(held.notes),
    }
