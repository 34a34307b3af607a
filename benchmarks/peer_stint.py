"""Stint in the comparison: its own step, and the rungs of the ladder that lead to it.

`stint` is the fast path without experts and `stint-again` the same once more, as a control; `stint-experts` has four.
`stint-reference` packs and takes the loss on targets only, with transformers' layers under autograd; `stint-plain` is
the fast path with torch's own matrix products in place of oneDNN's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from bare_trainer import bare_trainer
from peer_gate import Gate
from peer_work import ALPHA, RANK, Work
from safetensors.torch import load_file

from engine.data.batches import make_bins
from engine.data.example import Example
from engine.model import product
from engine.model.adapters import Adapted, attach
from engine.model.evened import evened
from engine.model.load import load_base
from engine.model.prototypes import normal_routers
from engine.model.spec import AdapterSpec
from engine.training.step import take_step
from engine.training.trainer import Trainer


def model(folder: Path, mode: str) -> Adapted:
    """The base with adapters that start as every contender's do."""
    base = load_base(folder / "model", dtype=torch.float32, device=torch.device("cpu"))
    adapted = attach(base, AdapterSpec(mode=mode, rank=RANK, alpha=ALPHA))
    with torch.no_grad():
        for name, values in load_file(folder / "start.safetensors").items():
            adapted.parameters()[name].copy_(values)
    normal_routers(adapted)
    return adapted


def examples(work: Work) -> list[Example]:
    """The conversations as the engine reads them."""
    return [
        Example(
            ids=np.array(one.input_ids, dtype=np.int32),
            labels=np.array(one.labels, dtype=np.int32),
            domain_index=-1,
            conversation=index,
        )
        for index, one in enumerate(work.conversations)
    ]


def run(work: Work, folder: Path, gate: Gate, *, name: str) -> None:
    """Passes until there are no more orders."""
    if name == "stint-plain":
        product._wide_registers = lambda: False  # type: ignore[assignment]
    adapted = model(folder, "moe" if name == "stint-experts" else "lora")
    conversations = examples(work)
    trainer = bare_trainer(adapted, conversations, per_step=work.per_step, bin_tokens=work.cap, rate=work.rate)
    layers: AbstractContextManager[None] = nullcontext()
    if name == "stint-reference":
        layers = adapted.compute.on_reference()
    gate.ready(list(adapted.model.parameters()))
    with layers:
        while gate.begin():
            for number, step in enumerate(work.steps(gate.number)):
                chosen = [conversations[index] for index in step]
                stats = take_step(trainer, make_bins(chosen, work.cap), rate=work.rate, ramp=1.0)
                gate.done.useful += stats.tokens
                gate.done.add(number, stats.loss, stats.targets)
            _laid(trainer, work, conversations, gate)
            gate.end()


def _laid(trainer: Trainer, work: Work, conversations: list[Example], gate: Gate) -> None:
    """Tokens that went through the model, with those that round the length of a bin."""
    dtype = trainer.adapted.embeddings.weight.dtype
    for step in work.steps(gate.number):
        for packed in make_bins([conversations[index] for index in step], trainer.bin_tokens):
            gate.done.computed += evened(packed, trainer.device, dtype).input_ids.shape[0]
