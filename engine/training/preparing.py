"""Setup: from a file of conversations to examples in memory, and the first plan."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from engine.data.prepare import Prepared, prepare, read_sources
from engine.model.download import download, look_up
from engine.model.load import load_tokenizer
from engine.training.planned import Planned
from engine.training.planning import plan_first
from engine.training.preflight import preflight
from engine.training.saving import recorded
from engine.training.session import Session
from states.events import MessageLogged
from states.wording import size

MB = 1_000_000
"""Progress of a download counts these."""


def bring(session: Session, name: str) -> Path:
    """Download the base model and say how far it is: its time is the window's."""
    remote = look_up(name)
    detail = f"{name} at revision {remote.revision[:12]}, {size(remote.missing)} to come"
    with session.task("download base model", detail=detail, total=remote.missing // MB) as progressed:
        folder = download(remote, lambda arrived: progressed(arrived // MB))
    text = (
        f"{name} is here at revision {remote.revision}, {size(remote.total)}: later starts take the same from {folder}."
    )
    session.emit(MessageLogged(level="INFO", logger="stint", text=text))
    return folder


def prepare_run(session: Session, checkpoint: Path | None) -> tuple[Prepared, PreTrainedTokenizerBase, Planned]:
    """Check the machine, read and tokenise the data, plan the steps into the window; a resume takes its own plan."""
    preflight(session)
    training = session.config.training
    follow = session.follower()
    sources = read_sources(session.config, follow)
    if isinstance(session.base, str):
        session.base = bring(session, session.base)
    with session.task("load tokenizer", detail=training.base_model):
        template = None if training.chat_template is None else Path(training.chat_template)
        tokenizer = load_tokenizer(session.base, template)
    prepared = prepare(session.config, tokenizer, follow, sources)
    session.emit(prepared.event())
    if checkpoint is None:
        return prepared, tokenizer, plan_first(session, prepared)
    plan = Planned.from_json(recorded(checkpoint)["plan"])
    session.emit(plan.event)
    return prepared, tokenizer, plan
