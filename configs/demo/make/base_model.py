"""Make configs/demo/base: train the tokenizer, pre-train the small Mistral-shaped model, save it in bf16.

Run from the repository root: `GOMP_SPINCOUNT=10000 python -m configs.demo.make.base_model`.
"""

import argparse
import itertools
import time
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from configs.demo.make.pretraining_text import chat, documents
from configs.demo.make.tokenizer import VOCAB_SIZE, train_tokenizer

BASE = Path(__file__).resolve().parents[1] / "base"
SEED = 20
WINDOW = 256
BATCH = 16
STEPS = 700
PEAK_RATE = 3e-3
NUM_DOCUMENTS = 30_000
CORRUPTED = 0.08
"""Share of input tokens replaced by random ones: a context that cannot be fully trusted keeps predictions modest."""
SMOOTHING = 0.1
"""Label smoothing. A tiny base without it is overconfident, and text of another kind costs more than ln V a token."""


def shape(tokenizer: PreTrainedTokenizerFast) -> MistralConfig:
    """Return the base's shape: 3.3 million parameters, the proportions of its large relatives."""
    return MistralConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        num_hidden_layers=4,
        intermediate_size=640,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        sliding_window=None,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def check_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse to train on chats whose shape is not the one the template renders."""
    turns = [("user", "Hello."), ("assistant", "Yes?"), ("user", "Good night."), ("assistant", "Sleep well.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    if tokenizer.apply_chat_template(messages, tokenize=False) != chat(turns):
        raise RuntimeError("chat_template.jinja and pretraining_text.chat render the same turns differently")


def token_stream(tokenizer: PreTrainedTokenizerFast, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the reading list as one (tokens,) stream and the (documents,) positions at which documents begin."""
    texts = list(itertools.islice(documents(seed), NUM_DOCUMENTS))
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    starts = list(itertools.accumulate((len(ids) for ids in encoded), initial=0))[:-1]
    return torch.tensor(list(itertools.chain.from_iterable(encoded))), torch.tensor(starts)


def windows(stream: torch.Tensor, starts: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw (BATCH, WINDOW + 1) tokens; half of the rows begin with a document, as every conversation will."""
    usable = starts[starts < len(stream) - WINDOW - 1]
    at_start = usable[torch.randint(len(usable), (BATCH // 2,), generator=generator)]
    anywhere = torch.randint(len(stream) - WINDOW - 1, (BATCH - BATCH // 2,), generator=generator)
    first = torch.cat([at_start, anywhere])
    return stream[first[:, None] + torch.arange(WINDOW + 1)]


def learning_rate(step: int) -> float:
    """Warm up over 5% of the steps, then fall linearly to 2% of the peak."""
    done = step / STEPS
    return PEAK_RATE * min(done / 0.05, 1.0, max(0.02, (1 - done) / 0.95))


def pretrain(model: MistralForCausalLM, stream: torch.Tensor, starts: torch.Tensor) -> None:
    """Train in place with AdamW on smoothed labels and partly corrupted inputs."""
    generator = torch.Generator().manual_seed(SEED)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))
    began = time.monotonic()
    for step in range(1, STEPS + 1):
        rows = windows(stream, starts, generator)
        inputs, targets = rows[:, :-1].clone(), rows[:, 1:]
        spoiled = torch.rand(inputs.shape, generator=generator) < CORRUPTED
        inputs[spoiled] = stream[torch.randint(len(stream), (int(spoiled.sum()),), generator=generator)]
        logits = model(input_ids=inputs, use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.step()
        if step % 25 == 0:
            speed = step * BATCH * WINDOW / (time.monotonic() - began)
            print(f"step {step}/{STEPS}  smoothed loss {loss.item():.3f}  {speed:,.0f} tokens/s", flush=True)


def main() -> None:
    """Make the base model and its tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=BASE)
    parser.add_argument("--threads", type=int, default=1, help="1 repeats bit for bit on one machine; 2 is faster")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(SEED, options.output_dir)
    check_template(tokenizer)
    model = MistralForCausalLM(shape(tokenizer))
    stream, starts = token_stream(tokenizer, SEED)
    print(f"{len(stream):,} tokens in {len(starts):,} documents, {model.num_parameters():,} parameters")
    pretrain(model, stream, starts)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.8,
        top_p=0.9,
        max_new_tokens=96,
    )
    model.to(torch.bfloat16).save_pretrained(options.output_dir)


if __name__ == "__main__":
    main()
