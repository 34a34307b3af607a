"""What stands beside the best model at the run's root: tokenizer, chat template, model card, model_info.json."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from engine.quality.account import routing_info, routing_text
from engine.training.session import Session
from engine.training.trainer import Trainer
from engine.training.versions import versions
from states.events import ExpertsExamined

Writer = Callable[[Path], None]

CARD = """---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
tags: [lora, stint]
---

# {name}

LoRA adapters trained with Stint on {conversations} conversations. {routing}

| | |
| --- | --- |
| base model | {base} |
| steps, tokens | {step}, {tokens} |
| validation loss before, after | {before}, {after} |
| validation perplexity after | {perplexity} |
| run | {run_id} |

{experts}

## Not for people in distress

This model was not evaluated for safety here. It is not a clinician, and it must not be used with people in crisis.
"""


def root_writers(
    session: Session, trainer: Trainer, *, final_loss: float | None, examined: ExpertsExamined | None = None
) -> dict[str, Writer]:
    """The files to publish beside the adapters, by name; loss and examination of the published model, if measured."""
    told = _info(session, trainer, final_loss) | {"routing": routing_info(trainer.adapted.spec, examined)}
    info = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    texts = {
        **_tokenizer_files(trainer, session.rundir.path),
        "README.md": _card(session, trainer, final_loss, examined).encode(),
        "model_info.json": info,
    }
    return {name: partial(_write, content) for name, content in texts.items()}


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _tokenizer_files(trainer: Trainer, run: Path) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(dir=run, prefix=".staging-tokenizer-") as folder:
        trainer.tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def _info(session: Session, trainer: Trainer, final_loss: float | None) -> dict[str, Any]:
    spec = trainer.adapted.spec
    progress = session.training
    return {
        "version": "1.0",
        "training_date": time.strftime("%Y-%m-%d", time.gmtime()),
        "dataset_size": trainer.prepared.stats.train.conversations,
        "training_hours": round(progress.trained_s / 3600.0, 4),
        "start_loss": progress.start_loss,
        "final_loss": final_loss,
        "best_step": progress.patience.best_step,
        "base_model": session.config.training.base_model,
        "architecture": f"{spec.num_experts}-expert MoE with LoRA" if spec.routed else "LoRA",
        "lora_rank": spec.rank,
        "run_id": session.run_id,
        "config_hash": session.config_hash,
        "versions": versions(),
    }


def _card(session: Session, trainer: Trainer, final_loss: float | None, examined: ExpertsExamined | None) -> str:
    spec = trainer.adapted.spec
    progress = session.training
    routed = (
        f"{spec.num_experts} experts share each feed-forward product and {spec.top_k} act on a token."
        if spec.routed
        else "There are no experts."
    )
    return CARD.format(
        name=session.rundir.path.name,
        base=session.config.training.base_model,
        conversations=trainer.prepared.stats.train.conversations,
        routing=routed,
        step=progress.patience.best_step if progress.patience.best_step is not None else progress.step,
        tokens=f"{progress.tokens:,}",
        before=_number(progress.start_loss),
        after=_number(final_loss),
        perplexity="not measured" if final_loss is None else f"{math.exp(min(final_loss, 700.0)):.3f}",
        run_id=session.run_id,
        experts=routing_text(spec, examined),
    )


def _number(loss: float | None) -> str:
    return "not measured" if loss is None else f"{loss:.4f}"
