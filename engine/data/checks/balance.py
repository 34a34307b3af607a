"""Domains too small for what is asked of them: an expert's domain, a share of the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity

SMALL_DOMAIN: Final = Kind(
    code="small-domain",
    severity=Severity.WARNING,
    title="Domains too small for an expert",
    remedy="Its expert would hardly be trained; add conversations, or join it with another domain.",
)
LEAST_SHARE: Final = 0.2
"""Of an even share of the conversations; below it a domain is lost among the others."""


def small_domains(conversations: Mapping[str, int], wanted: int, experts: int) -> Iterator[Finding]:
    """Domains below `wanted` conversations (what a router's prototype is made from) or far below an even share.

    One domain is no choice, and a file that names more domains than there are experts names topics, not experts: then
    only as many of them as there are experts are held to it, the largest.
    """
    if len(conversations) < 2:
        return
    total = sum(conversations.values())
    largest = sorted(conversations, key=lambda name: (-conversations[name], name))[:experts]
    for name in largest:
        count = conversations[name]
        if count < wanted or count < LEAST_SHARE * total / len(largest):
            sentence = (
                f'The domain "{name}" has {count:,} training conversations; an expert wants at least {wanted:,}, and '
                f"a fifth of an even share ({total // len(largest):,})."
            )
            yield Finding(kind=SMALL_DOMAIN, row=None, sentence=sentence)
