"""Which domain each conversation counts for: its own label, else a group by wording that is said to be one.

Domains spread each step evenly, tell the examination apart, and give the routers conversations to start from. Data
without labels is grouped so that it has them too; the names are Stint's, and no conversation is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from configs.schema import MoeConfig
from engine.data.clusters import clusters
from engine.data.conversation import Conversation

LEAST_MEMBERS: Final = 16
"""Conversations without a label for each group; of fewer no group would say anything, and they stay in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Both sides with the domains that count, and what was made up."""

    train: tuple[Conversation, ...]
    validation: tuple[Conversation, ...]
    made: tuple[str, ...] = ()
    """Names of groups by wording; everything else is a label of the data."""
    notes: tuple[str, ...] = ()


def assign(train: Sequence[Conversation], validation: Sequence[Conversation], moe: MoeConfig, seed: int) -> Assigned:
    """The domains as `moe.domain_source` has them; groups are found over both sides at once.

    Where some conversations have labels, the others are grouped into as many as there are experts left over.
    """
    everyone = [*train, *validation]
    labels = {each.domain for each in everyone if each.domain is not None}
    if moe.domain_source == "none":
        bare = [replace(each, domain=None) for each in everyone]
        said = (
            (f"The {len(labels)} domains of the data are left aside, as moe.domain_source is none.",) if labels else ()
        )
        return Assigned(train=tuple(bare[: len(train)]), validation=tuple(bare[len(train) :]), notes=said)
    ignored = moe.domain_source == "cluster"
    count = moe.num_experts if ignored else moe.num_experts - len(labels)
    wanted = [ignored or each.domain is None for each in everyone]
    unlabelled = [each for each, without in zip(everyone, wanted, strict=True) if without]
    if (
        moe.adapter_mode != "moe"
        or count < 2
        or (moe.domains and not ignored)
        or len(unlabelled) < LEAST_MEMBERS * count
    ):
        return Assigned(train=tuple(train), validation=tuple(validation))
    groups = iter(clusters(unlabelled, count, seed))
    stem = "cluster"
    while any(f"{stem}-{number}" in labels for number in range(1, count + 1)):
        stem = f"wording-{stem}"
    named = [
        replace(each, domain=f"{stem}-{next(groups) + 1}") if without else each
        for each, without in zip(everyone, wanted, strict=True)
    ]
    sizes = Counter(str(each.domain) for each, without in zip(named, wanted, strict=True) if without)
    made = tuple(sorted(sizes, key=lambda name: (len(name), name)))
    return Assigned(
        train=tuple(named[: len(train)]),
        validation=tuple(named[len(train) :]),
        made=made,
        notes=(_note(len(unlabelled), len(everyone), bool(labels), made, sizes, ignored=ignored),),
    )


def _note(
    grouped: int, everyone: int, labelled: bool, made: Sequence[str], sizes: Counter[str], *, ignored: bool
) -> str:
    if ignored:
        why = "moe.domain_source is cluster" + ("; the data's own domains are left aside" if labelled else "")
    elif grouped == everyone:
        why = "No domain field"
    else:
        why = f"{grouped:,} of {everyone:,} conversations have no domain"
    parts = ", ".join(f"{name} ({sizes[name]:,})" for name in made[:8]) + (", ..." if len(made) > 8 else "")
    return f"{why}: grouped into {len(made)} by the client's wording: {parts}. These are no labels of the data."
