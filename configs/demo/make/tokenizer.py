"""Train the demo's byte-level BPE tokenizer and give it the base's chat template."""

import itertools
import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from configs.demo.make import everyday_text
from configs.demo.make.pretraining_text import documents

VOCAB_SIZE = 2048
INSTRUCTION, INSTRUCTION_END = "[INST]", "[/INST]"
NAMED = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
SPECIAL_TOKENS = (*NAMED.values(), INSTRUCTION, INSTRUCTION_END)
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
NUM_DOCUMENTS = 6000


def train_tokenizer(seed: int, folder: Path) -> PreTrainedTokenizerFast:
    """Train on the base's own reading list and write the tokenizer's files into `folder`.

    Every byte is in the alphabet, so there is no unknown token: any UTF-8 text round-trips.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_text(seed), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        additional_special_tokens=[INSTRUCTION, INSTRUCTION_END],
        **NAMED,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE.read_text(encoding="ascii")
    fast.save_pretrained(folder)
    shutil.copyfile(TEMPLATE, folder / TEMPLATE.name)
    return fast


def _text(seed: int) -> list[str]:
    # Everyday writing counts thrice: the demo speaks like it, and library prose would fill the vocabulary otherwise.
    drawn = list(itertools.islice(documents(seed), NUM_DOCUMENTS))
    written = [*everyday_text.passages(), *(text for turns in everyday_text.dialogues() for _, text in turns)]
    return drawn + written * 3
