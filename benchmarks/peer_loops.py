"""A training loop over transformers and PEFT without any trainer, as short as it can be written.

`bare-padded` pads batches of four to the longest of each; `bare-each` feeds one conversation at a time, which wastes
no token and needs no mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peer_gate import Gate
from peer_work import ALPHA, RANK, Conversation, Work
from safetensors.torch import load_file

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MAX_GRAD_NORM = 1.0


def lora_config() -> Any:
    """Plain LoRA on all seven projections, without dropout."""
    from peft import LoraConfig

    return LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none", target_modules=TARGETS, task_type="CAUSAL_LM"
    )


def base(folder: Path) -> Any:
    """The base in float32 with the attention that transformers takes by default."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)


def start(model: torch.nn.Module, folder: Path) -> None:
    """Give PEFT's A matrices the values that every contender begins with."""
    downs = load_file(folder / "start.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_A." in name:
                parameter.copy_(downs.pop("layers." + name.partition(".layers.")[2].replace(".default.weight", "")))
    if downs:
        raise RuntimeError(f"no adapter takes {sorted(downs)}")


def padded(conversations: list[Conversation]) -> dict[str, torch.Tensor]:
    """One batch, padded on the right to its longest."""
    longest = max(len(one.input_ids) for one in conversations)
    rows = [(one.input_ids, one.labels, longest - len(one.input_ids)) for one in conversations]
    return {
        "input_ids": torch.tensor([ids + [0] * more for ids, _, more in rows]),
        "labels": torch.tensor([labels + [-100] * more for _, labels, more in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * more for ids, _, more in rows]),
    }


def run(work: Work, folder: Path, gate: Gate, *, each: bool) -> None:
    """Passes until there are no more orders."""
    from peft import get_peft_model

    model = get_peft_model(base(folder), lora_config())
    start(model, folder)
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=work.rate, weight_decay=0.0, fused=True)
    micro = 1 if each else work.micro
    gate.ready(list(model.parameters()))
    while gate.begin():
        for number, step in enumerate(work.steps(gate.number)):
            chosen = [work.conversations[index] for index in step]
            targets = sum(label != -100 for one in chosen for label in one.labels[1:])
            for at in range(0, len(chosen), micro):
                batch = padded(chosen[at : at + micro])
                gate.done.useful += int(batch["attention_mask"].sum())
                gate.done.computed += batch["input_ids"].numel()
                if each:
                    del batch["attention_mask"]
                # Summed and divided by the whole step's targets, as transformers does it itself.
                loss = model(**batch, use_cache=False, num_items_in_batch=targets).loss
                loss.backward()
                own = int((batch["labels"][:, 1:] != -100).sum())
                gate.done.add(number, loss.detach(), own)
            torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        gate.end()
