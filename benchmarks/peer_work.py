"""The work that every contender of `peers.py` is given: one model, one set of conversations, one start of the adapters.

It lies in a folder, so that each contender reads it in a process of its own: `model/` (a base with its tokenizer),
`start.safetensors` (every A matrix; every B is zero) and `work.json` (token ids, labels and the shape of a step).
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

RANK, ALPHA = 16, 32.0
SPREAD, MEAN_TOKENS = 0.8, 500.0
"""Of log-normal lengths: they range from 50 to 2,048 tokens, as the conversations of the 12B job do."""
SHAPES = {"hidden-128": (128, 384, 4, 4096), "hidden-256": (256, 640, 4, 4096), "hidden-512": (512, 1408, 8, 4096)}
"""Hidden size, inner size, heads and vocabulary of the random models; four layers and two key heads each."""
CASES = (*SHAPES, "demo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Token ids, and labels aligned with them: -100 where a token carries no loss."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One case. A pass goes over every conversation once; a step is `per_step` of them, fed `micro` at a time."""

    case: str
    conversations: list[Conversation]
    cap: int
    """No conversation is longer: size of a packed bin."""
    per_step: int
    micro: int
    rate: float

    @property
    def tokens(self) -> int:
        """Useful tokens of a pass."""
        return sum(len(one.input_ids) for one in self.conversations)

    @property
    def targets(self) -> int:
        """Tokens of a pass that carry loss; nothing predicts a first one."""
        return sum(label != -100 for one in self.conversations for label in one.labels[1:])

    @property
    def num_steps(self) -> int:
        """Optimizer steps of a pass."""
        return len(self.conversations) // self.per_step

    def order(self, number: int) -> list[int]:
        """Which conversation comes when, in the pass of this number."""
        return random.Random(number).sample(range(len(self.conversations)), k=len(self.conversations))

    def steps(self, number: int) -> list[list[int]]:
        """The order cut into steps."""
        order = self.order(number)
        return [order[at : at + self.per_step] for at in range(0, len(order), self.per_step)]


def make(folder: Path, case: str, *, conversations: int, per_step: int, micro: int, rate: float, cap: int) -> Work:
    """Write the model, the start and the conversations of a case; a pass must be a whole number of steps."""
    if conversations % per_step or per_step % micro:
        raise SystemExit(f"{conversations} conversations in steps of {per_step} in batches of {micro} do not come out.")
    chosen = _demo(folder, conversations) if case == "demo" else _random(folder, case, conversations, cap)
    longest = max(len(one.input_ids) for one in chosen)
    work = Work(
        case=case,
        conversations=chosen,
        cap=max(512, longest) if case == "demo" else max(cap, longest),
        per_step=per_step,
        micro=micro,
        rate=rate,
    )
    _start(folder)
    (folder / "work.json").write_text(json.dumps(asdict(work)))
    return work


def read(folder: Path) -> Work:
    """The work that `make` wrote."""
    found: dict[str, Any] = json.loads((folder / "work.json").read_text())
    return Work(**{**found, "conversations": [Conversation(**one) for one in found["conversations"]]})


def lengths(count: int, cap: int) -> list[int]:
    """The distribution's own quantiles, so that a few conversations stand for all of them."""
    middle = math.log(MEAN_TOKENS) - SPREAD**2 / 2
    exact = [NormalDist(middle, SPREAD).inv_cdf((index + 0.5) / count) for index in range(count)]
    return [min(cap, max(min(50, cap), round(math.exp(value)))) for value in exact]


def _random(folder: Path, case: str, count: int, cap: int) -> list[Conversation]:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    hidden, inner, heads, vocabulary = SHAPES[case]
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=2,
        max_position_embeddings=max(cap, 2048),
        # Wide enough that losses tell one context from another: a leak between conversations would show.
        initializer_range=0.1,
        sliding_window=None,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    MistralForCausalLM(config).save_pretrained(folder / "model")
    words = Tokenizer(WordLevel({f"t{index}": index for index in range(vocabulary)}, unk_token="t3"))
    special = {"pad_token": "t0", "bos_token": "t1", "eos_token": "t2", "unk_token": "t3"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder / "model")
    chance = random.Random(0)
    made = []
    for length in lengths(count, cap):
        ids = [chance.randrange(4, vocabulary) for _ in range(length)]
        # Two thirds are targets, in turns as a therapist and a client alternate.
        labels = [-100 if position // 20 % 3 == 0 else token for position, token in enumerate(ids)]
        made.append(Conversation(input_ids=ids, labels=labels))
    return made


def _demo(folder: Path, count: int) -> list[Conversation]:
    from configs.load import demo_dir, load
    from engine.data.prepare import prepare
    from engine.model.load import load_tokenizer

    config = load(demo_dir())
    base = Path(config.training.base_model)
    (folder / "model").symlink_to(base)
    # The first of the demo's own order, which is drawn over all of them.
    examples = prepare(config, load_tokenizer(base, None)).train
    chosen = random.Random(0).sample(examples, k=count)
    return [Conversation(input_ids=one.ids.tolist(), labels=one.labels.tolist()) for one in chosen]


def _start(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from engine.model.adapters import attach
    from engine.model.load import load_base
    from engine.model.spec import AdapterSpec

    model = load_base(folder / "model", dtype=torch.float32, device=torch.device("cpu"))
    adapted = attach(model, AdapterSpec(mode="lora", rank=RANK, alpha=ALPHA))
    downs = {name: value.detach() for name, value in adapted.parameters().items() if name.endswith("lora_A")}
    save_file(downs, folder / "start.safetensors")
