"""What stands beside the best model at the run's root: tokenizer, chat template, model card, model_info.json."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from engine.model.spec import AdapterSpec
from engine.quality.account import routing_info, routing_text
from engine.release.card import model_card
from engine.training.evaluate import EvalResult
from engine.training.session import Session
from engine.training.trainer import Trainer
from engine.training.versions import versions
from states.events import ExpertsExamined

Writer = Callable[[Path], None]


def root_writers(
    session: Session, trainer: Trainer, *, judged: EvalResult | None, examined: ExpertsExamined | None = None
) -> dict[str, Writer]:
    """The files to publish beside the adapters, by name; evaluation and examination of that model, if there are any."""
    spec = trainer.adapted.spec
    told = _info(session, trainer, judged) | {"routing": routing_info(spec, examined)}
    card = model_card(told, title=session.rundir.path.name, what=_what(spec), usage=routing_text(spec, examined))
    texts = {
        **_tokenizer_files(trainer, session.rundir.path),
        "README.md": card.encode(),
        "model_info.json": orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    }
    return {name: partial(_write, content) for name, content in texts.items()}


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _tokenizer_files(trainer: Trainer, run: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(dir=run, prefix=".staging-tokenizer-") as folder:
        trainer.tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def _info(session: Session, trainer: Trainer, judged: EvalResult | None) -> dict[str, Any]:
    spec = trainer.adapted.spec
    progress = session.training
    return {
        "version": "1.0",
        "training_date": time.strftime("%Y-%m-%d", time.gmtime()),
        "dataset_size": trainer.prepared.stats.train.conversations,
        "dataset_sha256": list(trainer.prepared.digests),
        "training_hours": round(progress.trained_s / 3600.0, 4),
        "start_loss": progress.start_loss,
        "final_loss": judged.loss if judged else None,
        "loss_by_domain": judged.domains if judged else {},
        "best_step": progress.patience.best_step,
        "base_model": session.config.training.base_model,
        "architecture": f"{spec.num_experts}-expert MoE with LoRA" if spec.routed else "LoRA",
        "lora_rank": spec.rank,
        "run_id": session.run_id,
        "config_hash": session.config_hash,
        "versions": versions(),
    }


def _what(spec: AdapterSpec) -> str:
    if not spec.routed:
        return "A LoRA adapter of a language model for supportive conversation. There are no experts."
    return (
        f"LoRA adapters of a language model for supportive conversation: {spec.num_experts} experts share each "
        f"feed-forward product, {spec.top_k} act on a token."
    )
