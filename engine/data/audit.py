"""The data audit: every check over a data set, in the order in which a person would want to hear of trouble.

`validate` runs all of it; a run's Setup runs the part that costs less than tokenising, and stops at errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from configs.errors import DataError
from configs.schema import Config, MoeConfig
from engine.data.checks.balance import small_domains
from engine.data.checks.finding import Finding, Ledger
from engine.data.checks.leakage import leakage, repeated_prompts
from engine.data.checks.masking import Habits, check_example, check_tokenizer, check_words, few_targets
from engine.data.checks.privacy import privacy
from engine.data.checks.roles import swapped_roles
from engine.data.checks.wording import bare_replies, both_roles, characters, control_tokens, refusals
from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.formats import Dataset
from engine.data.sources import Sources
from engine.data.template import GENERAL, Renderer

WORD_CHECKS: Final[tuple[Callable[[Conversation], Iterator[Finding]], ...]] = (
    both_roles,
    control_tokens,
    swapped_roles,
    refusals,
    bare_replies,
    characters,
    privacy,
)
DECODED: Final = 2048
"""Conversations whose labels are decoded and compared with the words, evenly over the file; all where it has fewer."""
NEAR_LIMIT: Final = 16_000_000
"""Characters up to which near-duplicates are searched: some 3 million words, a few seconds and 300 MB."""
SETUP_NEAR_LIMIT: Final = 4_000_000
"""The same bound in a run's Setup, where it should take a second or two."""
SETUP_DECODED: Final = 256
_SHOWN: Final = 3


def check_conversation(conversation: Conversation) -> Iterator[Finding]:
    """Every check that needs no tokenizer and no other conversation."""
    for check in WORD_CHECKS:
        yield from check(conversation)


def check_wording(conversations: Iterable[Conversation], ledger: Ledger) -> None:
    """Run the word checks over many conversations."""
    for conversation in conversations:
        ledger.add(check_conversation(conversation))


def check_sides(
    train: Sequence[Conversation], validation: Sequence[Conversation], ledger: Ledger, *, limit: int = NEAR_LIMIT
) -> bool:
    """Near-duplicates and leakage between and within the sides; returns whether the search was small enough to make."""
    characters_in_all = sum(len(turn.text) for side in (train, validation) for each in side for turn in each.turns)
    if characters_in_all > limit:
        return False
    ledger.add(leakage(train, validation))
    return True


def check_prompts(conversations: Sequence[Conversation], ledger: Ledger) -> None:
    """Prompts that stand in several conversations."""
    ledger.add(repeated_prompts(conversations))


def check_domains(conversations: dict[str, int], moe: MoeConfig, ledger: Ledger) -> None:
    """Domains against the experts that should learn them."""
    if moe.adapter_mode == "moe":
        ledger.add(small_domains(conversations, moe.prototype_conversations, moe.num_experts))


class TokenAudit:
    """Checks ids and labels as they are made; keeps counts, not tokens."""

    def __init__(self, habits: Habits, ledger: Ledger, conversations: int, *, decoded: int = DECODED) -> None:
        self._habits = habits
        self._ledger = ledger
        self._stride = max(1, -(-conversations // decoded))
        self._seen = 0
        self._tokens = self._targets = 0
        self.compared = 0
        """Conversations whose labels were decoded and compared with their words."""
        ledger.add(check_tokenizer(habits))

    def see(self, conversations: Sequence[Conversation], examples: Sequence[Example]) -> None:
        """Check the examples of some conversations; both in the same order."""
        position = 0
        for conversation in conversations:
            start = position
            while position < len(examples) and examples[position].conversation == conversation.row:
                example = examples[position]
                self._tokens += example.tokens
                self._targets += example.targets
                self._ledger.add(check_example(example, self._habits))
                position += 1
            if position > start and self._seen % self._stride == 0:
                self._ledger.add(check_words(conversation, examples[start:position], self._habits))
                self.compared += 1
            self._seen += 1

    def close(self) -> None:
        """What only the whole can tell."""
        self._ledger.add(few_targets(self._tokens, self._targets))


def refuse(ledger: Ledger, path: str, unit: str) -> None:
    """Raise the errors of a ledger, if it has any, as one paragraph."""
    errors = ledger.errors
    if not errors:
        return
    shown = " ".join(group.note(unit) for group in errors[:_SHOWN])
    more = f" {len(errors) - _SHOWN} more kinds of error." if len(errors) > _SHOWN else ""
    raise DataError(f"{path}: {shown}{more} `python run.py dataset validate {path}` lists every place.")


def notes(ledger: Ledger, unit: str) -> tuple[str, ...]:
    """The warnings of a ledger, one sentence or two for each kind."""
    return tuple(group.note(unit) for group in ledger.warnings)


def audit_words(dataset: Dataset, *, splits: bool) -> tuple[str, ...]:
    """The word checks over a file that training reads: its warnings as notes; errors raise `DataError`.

    `splits` says that both sides come from it, so that a repeated prompt could stand on both.
    """
    ledger = Ledger()
    check_wording(dataset.conversations, ledger)
    if splits:
        check_prompts(dataset.conversations, ledger)
    refuse(ledger, str(dataset.path), dataset.unit)
    return notes(ledger, dataset.unit)


def audit_run(
    config: Config, tokenizer: Any, sources: Sources, train: Sequence[Example], validation: Sequence[Example]
) -> tuple[str, ...]:
    """What Setup checks of the tokens and between the sides, beyond `audit_words`; errors raise `DataError`.

    What reading and rendering left out is in their own notes.
    """
    dataset = sources.datasets[0]
    ledger = Ledger()
    check_sides(sources.train, sources.validation, ledger, limit=SETUP_NEAR_LIMIT)
    counted = Counter(each.domain or GENERAL for each in sources.train)
    check_domains(dict(counted), config.moe, ledger)
    habits = Habits.of(tokenizer, Renderer(tokenizer, config.training.max_length))
    audit = TokenAudit(habits, ledger, len(sources.train) + len(sources.validation), decoded=SETUP_DECODED)
    audit.see(sources.train, train)
    audit.see(sources.validation, validation)
    audit.close()
    refuse(ledger, str(dataset.path), dataset.unit)
    return notes(ledger, dataset.unit)
