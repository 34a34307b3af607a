"""Hugging Face's Trainer and TRL's SFTTrainer over PEFT, at their defaults and at the flags that suit a CPU best.

Everywhere: float32 (TRL would take bfloat16, which a CPU emulates), a constant rate without decay, no checkpoints
written, nothing reported. `hf-padded` is Trainer's own default otherwise, in batches of four. `hf-grouped` sorts by
length, `hf-flattened` lays a batch end to end without padding, `hf-each` takes batches of one and accumulates them.
`trl-packed` is `packing=True` at TRL's defaults, which recompute activations, with `max_length` raised to the longest
conversation (1,024 would cut some); `trl-packed-best` keeps activations instead. Flattened and packed batches reach
attention on a CPU as one sequence with a mask of tokens x tokens; a batch of one needs no mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peer_gate import Gate
from peer_loops import MAX_GRAD_NORM, base, lora_config, start
from peer_work import Work
from transformers import TrainerCallback

FLAGS: dict[str, dict[str, Any]] = {
    "hf-padded": {},
    "hf-grouped": {"train_sampling_strategy": "group_by_length"},
    "hf-flattened": {},
    "hf-each": {},
    "trl-packed": {},
    "trl-packed-best": {"gradient_checkpointing": False},
}
MANY_EPOCHS = 10_000


class Turns(TrainerCallback):
    """One epoch is one pass; between two of them the trainer waits at the gate."""

    def __init__(self, gate: Gate, model: Any) -> None:
        self._gate, self._model = gate, model

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Everything is set up: the first pass may begin."""
        self._gate.ready(list(self._model.parameters()))
        if not self._gate.begin():
            raise SystemExit(0)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A pass is over."""
        self._gate.end()
        control.should_training_stop = not self._gate.begin()


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The conversations in the order of the pass that the gate is at."""

    def __init__(self, work: Work, gate: Gate, *, fixed: bool) -> None:
        self._work, self._gate, self._fixed = work, gate, fixed
        self._order: tuple[int, list[int]] = (0, work.order(0))

    def __len__(self) -> int:
        return len(self._work.conversations)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        number = 0 if self._fixed else self._gate.number
        if self._order[0] != number:
            self._order = number, self._work.order(number)
        one = self._work.conversations[self._order[1][index]]
        return {"input_ids": one.input_ids, "labels": one.labels}


def run(work: Work, folder: Path, gate: Gate, *, name: str) -> None:
    """Passes until there are no more orders."""
    made = _trl(work, folder, name) if name.startswith("trl") else _hf(work, folder, gate, name)
    start(made.model, folder)
    made.add_callback(Turns(gate, made.model))
    _count(made, gate)
    made.train()


def _common(work: Work, folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"),
        "num_train_epochs": MANY_EPOCHS,
        "learning_rate": work.rate,
        "weight_decay": 0.0,
        "lr_scheduler_type": "constant",
        "max_grad_norm": MAX_GRAD_NORM,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        # The order is the work's own, a new one in every pass.
        "train_sampling_strategy": "sequential",
    }


def _hf(work: Work, folder: Path, gate: Gate, name: str) -> Any:
    from peft import get_peft_model
    from transformers import (
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        DataCollatorWithFlattening,
        Trainer,
        TrainingArguments,
    )

    micro = 1 if name == "hf-each" else work.micro
    flags = {
        **_common(work, folder),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": work.per_step // micro,
        **FLAGS[name],
    }
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    padding = DataCollatorForSeq2Seq(tokenizer, padding=True)
    return Trainer(
        model=get_peft_model(base(folder), lora_config()),
        args=TrainingArguments(**flags),
        train_dataset=Rows(work, gate, fixed=name == "hf-grouped"),
        data_collator=DataCollatorWithFlattening() if name == "hf-flattened" else padding,
    )


def _trl(work: Work, folder: Path, name: str) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer
    from trl.data_utils import pack_dataset

    rows = [work.conversations[index] for index in work.order(0)]
    data = Dataset.from_dict({"input_ids": [one.input_ids for one in rows], "labels": [one.labels for one in rows]})
    bins = len(pack_dataset(data, work.cap, "bfd"))
    flags = {
        **_common(work, folder),
        "packing": True,
        "max_length": work.cap,
        "per_device_train_batch_size": 1,
        # As many optimizer steps as the others take.
        "gradient_accumulation_steps": -(-bins // work.num_steps),
        **FLAGS[name],
    }
    return SFTTrainer(
        model=base(folder),
        args=SFTConfig(**flags),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        peft_config=lora_config(),
    )


def _count(trainer: Any, gate: Gate) -> None:
    """Count what is fed and note the losses, from outside."""
    collate, train = trainer.data_collator, trainer.training_step

    def counted(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = collate(rows)
        gate.done.useful += sum(len(row["input_ids"]) for row in rows)
        gate.done.computed += batch["input_ids"].numel()
        return batch

    def noted(model: Any, inputs: dict[str, torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
        targets = int((inputs["labels"][:, 1:] != -100).sum())
        loss: torch.Tensor = train(model, inputs, *args, **kwargs)
        gate.done.add(trainer.state.global_step, loss, targets)
        return loss

    trainer.data_collator, trainer.training_step = counted, noted
