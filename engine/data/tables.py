"""`dataset analyze` as lines for people: the figures, the histogram, the domains, the steps."""

from __future__ import annotations

from collections.abc import Iterator

from configs.schema import Config
from engine.data.analysis import Analysis, DomainFacts
from engine.data.desk import Desk
from engine.data.histogram import draw


def analysis_lines(desk: Desk, found: Analysis, *, width: int, blocks: bool) -> Iterator[str]:
    """The whole report."""
    lengths = found.lengths
    yield f"Dataset analysis: {desk.file}"
    for name, value in (
        ("Total conversations", f"{found.conversations:,}"),
        ("Turns", f"{found.turns:,} ({found.turns / max(1, found.conversations):.1f} per conversation)"),
        ("Avg tokens per conversation", f"{lengths.average:,.0f}"),
        ("Min tokens", f"{lengths.minimum:,}"),
        ("Max tokens", f"{lengths.maximum:,}"),
        ("p50 / p95 tokens", f"{lengths.p50:,} / {lengths.p95:,}"),
        ("Total tokens", f"{found.tokens:,}"),
        ("Target tokens", f"{found.targets:,} ({found.targets / max(1, found.tokens):.1%})"),
    ):
        yield f"  {name:28} {value}"
    yield ""
    yield "Conversations by tokens"
    yield from (f"  {line}" for line in draw(found.histogram, width=width - 2, blocks=blocks))
    yield ""
    yield from _domain_table(found.domains)
    yield ""
    yield from _steps(desk, desk.config, found)
    yield from (f"note: {note}" for note in found.notes)


def _domain_table(domains: list[DomainFacts]) -> Iterator[str]:
    name_width = max(6, *(len(each.name) for each in domains))
    yield f"{'Domain':{name_width}}  conversations      tokens     targets  of all targets"
    total = max(1, sum(each.targets for each in domains))
    for each in domains:
        yield (
            f"{each.name:{name_width}}  {each.conversations:>13,}  {each.tokens:>10,}  {each.targets:>10,}  "
            f"{each.targets / total:>14.1%}"
        )


def _steps(desk: Desk, config: Config, found: Analysis) -> Iterator[str]:
    steps, training = found.steps, config.training
    yield f"With the settings of {desk.settings} ({training.base_model}, max_length {training.max_length:,}):"
    yield f"  {steps.train:,} conversations to train on, {steps.validation:,} to validate"
    yield (
        f"  {steps.steps_per_epoch:,} steps an epoch of {steps.conversations_per_step} conversations, "
        f"{steps.steps:,} in {steps.epochs} epochs"
    )
    yield (
        f"  {steps.bins_per_step:.1f} bins a step of at most {steps.bin_tokens:,} tokens, {steps.bin_fill:.0%} full, "
        "no padding"
    )
