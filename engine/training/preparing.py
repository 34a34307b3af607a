"""Setup: from a file of conversations to examples in memory, and the first plan."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from engine.data.prepare import Prepared, prepare, read_sources
from engine.model.load import load_tokenizer
from engine.training.planned import Planned
from engine.training.planning import plan_first
from engine.training.preflight import preflight
from engine.training.saving import recorded
from engine.training.session import Session


def prepare_run(session: Session, checkpoint: Path | None) -> tuple[Prepared, PreTrainedTokenizerBase, Planned]:
    """Check the machine, read and tokenise the data, plan the steps into the window; a resume takes its own plan."""
    preflight(session)
    training = session.config.training
    follow = session.follower()
    sources = read_sources(session.config, follow)
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
