"""What rendering left out or cut, as findings with rows, so that nothing is lost without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.tally import RenderTally

DROPPED: Final = Kind(
    code="dropped",
    severity=Severity.WARNING,
    title="Conversations left out, as the chat template or max_length leaves no faithful example",
    remedy="Raise max_length, or see `dataset preview` for what the template does.",
)
CUT: Final = Kind(
    code="cut",
    severity=Severity.WARNING,
    title="Conversations with a reply cut at max_length",
    remedy="The rest of the reply is not trained; raise max_length.",
)
SHORTENED: Final = Kind(
    code="shortened",
    severity=Severity.WARNING,
    title="Conversations with a client turn shortened to fit max_length",
    remedy="Its beginning is not seen; raise max_length.",
)
LOST_PART: Final = Kind(
    code="lost-part",
    severity=Severity.WARNING,
    title="Long conversations with a part left out, without room for its reply",
    remedy="Raise max_length.",
)


def check_losses(tally: RenderTally) -> Iterator[Finding]:
    """One finding for each row that lost something."""
    for kind, rows, what in (
        (DROPPED, tally.dropped, "it could not be rendered faithfully."),
        (CUT, tally.cut_rows, "a reply is longer than max_length and loses its end."),
        (SHORTENED, tally.shortened_rows, "a client turn loses its beginning to max_length."),
        (LOST_PART, tally.lost_rows, "a part of it has no room for its reply."),
    ):
        for row in dict.fromkeys(rows):
            yield Finding(kind=kind, row=row, sentence=what)
