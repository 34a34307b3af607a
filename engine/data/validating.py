"""`dataset validate`: the whole audit over one file, as a report that a person or a script reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from configs.schema import Config
from engine.data.audit import TokenAudit, check_domains, check_prompts, check_sides, check_wording
from engine.data.checks.finding import Finding, Group, Kind, Ledger, Severity
from engine.data.checks.losses import check_losses
from engine.data.checks.masking import Habits
from engine.data.checks.rows import check_rows
from engine.data.conversation import Conversation
from engine.data.desk import Desk, tokenizer
from engine.data.document import read_bytes
from engine.data.formats import Dataset, read_dataset, scan
from engine.data.garbage import seldom_collected
from engine.data.places import row_places
from engine.data.split import split, without_shared_prompts
from engine.data.stats import Stage
from engine.data.survey import survey
from engine.data.template import GENERAL, Renderer

UNREADABLE_FILE = Kind(
    code="unreadable-file",
    severity=Severity.ERROR,
    title="Files that cannot be read",
    remedy="Nothing else can be checked before that.",
)
NO_SPLIT = Kind(
    code="no-split",
    severity=Severity.ERROR,
    title="Files that cannot be split",
    remedy="Training needs conversations that it does not learn from, to judge what it learns.",
)
UNUSABLE_TEMPLATE = Kind(
    code="unusable-template",
    severity=Severity.ERROR,
    title="Chat templates that cannot be trained with",
    remedy="No run with this base model would start.",
)
Progress = Callable[[str, int, int], None]


@dataclass(slots=True, kw_only=True)
class Report:
    """What `validate` found out."""

    dataset: Dataset | None
    ledger: Ledger
    waterfall: list[Stage] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """Sentences: what could not be checked and why."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(line, column) of the rows in question."""

    @property
    def unit(self) -> str:
        """`row` or `line`."""
        return self.dataset.unit if self.dataset else "row"

    @property
    def ok(self) -> bool:
        """Whether a run may start on this file."""
        return not self.ledger.errors

    def place(self, finding: Finding) -> tuple[int, int] | None:
        """Line and column of a finding's row."""
        if finding.row is None:
            return None
        if self.unit == "line":
            return finding.row, finding.column or 1
        return self.places.get(finding.row)


@seldom_collected()
def validate(desk: Desk, progress: Progress) -> Report:
    """Check everything that can be checked; only a file that is not there raises."""
    ledger = Ledger()
    raw = read_bytes(desk.file)
    del raw
    progress("read", 0, 1)
    try:
        dataset = scan(desk.file)
    except DataError as error:
        ledger.add([Finding(kind=UNREADABLE_FILE, row=None, sentence=error.message)])
        return Report(dataset=None, ledger=ledger)
    progress("read", 1, 1)
    report = Report(dataset=dataset, ledger=ledger)
    ledger.add(check_rows(dataset))
    check_wording(dataset.conversations, ledger)
    report.waterfall += [
        Stage(name="read", count=dataset.rows),
        Stage(name="parsed", count=dataset.parsed),
        Stage(name="kept", count=len(dataset.conversations)),
    ]
    if dataset.conversations:
        _sides(report, desk.config, dataset, progress)
    if dataset.unit == "row":
        report.places = row_places(read_bytes(desk.file), _shown_rows(ledger))
    return report


def _sides(report: Report, config: Config, dataset: Dataset, progress: Progress) -> None:
    ledger = report.ledger
    if config.training.validation_dataset is None:
        check_prompts(dataset.conversations, ledger)
    try:
        train, validation = _apart(config, dataset)
    except DataError as error:
        ledger.add([Finding(kind=NO_SPLIT, row=None, sentence=error.message)])
        train, validation = list(dataset.conversations), []
    if validation and not check_sides(train, validation, ledger):
        report.unchecked.append(
            "Near-duplicates were not searched: the file is too large for an exact comparison. Equal prompts and equal "
            "conversations were found all the same."
        )
    domains: dict[str, int] = {}
    for each in train:
        domains[each.domain or GENERAL] = domains.get(each.domain or GENERAL, 0) + 1
    check_domains(domains, config.moe, ledger)
    report.waterfall += [Stage(name="train", count=len(train)), Stage(name="validation", count=len(validation))]
    try:
        tokens = tokenizer(config)
    except ConfigError as error:
        report.unchecked.append(f"Tokens and labels were not checked: {error.message}")
        return
    try:
        renderer = Renderer(tokens, config.training.max_length)
    except ConfigError as error:
        ledger.add([Finding(kind=UNUSABLE_TEMPLATE, row=None, sentence=error.message)])
        return
    other = config.training.validation_dataset
    if other is not None:
        report.unchecked.append(
            f"Validation conversations come from {other}; `dataset validate {other}` looks into that file."
        )
    _tokens(report, tokens, renderer, [train] if other is not None else [train, validation], progress)


def _apart(config: Config, dataset: Dataset) -> tuple[list[Conversation], list[Conversation]]:
    """The two sides as a run would have them; raises `DataError`."""
    training = config.training
    if training.validation_dataset is None:
        return split(dataset.conversations, training.eval_fraction, training.seed)
    held = read_dataset(Path(training.validation_dataset)).conversations
    return without_shared_prompts(dataset.conversations, held)[0], list(held)


def _tokens(
    report: Report,
    tokens: Any,
    renderer: Renderer,
    sides: list[list[Conversation]],
    progress: Progress,
) -> None:
    total = sum(map(len, sides))
    audit = TokenAudit(Habits.of(tokens, renderer), report.ledger, total)
    before = 0
    counted = []
    progress("tokenize", 0, total)
    for side in sides:
        counted.append(
            survey(renderer, side, audit.see, lambda done, before=before: progress("tokenize", before + done, total))  # type: ignore[misc]
        )
        before += len(side)
    audit.close()
    report.ledger.add(check_losses(renderer.tally))
    report.waterfall += [
        Stage(name="examples", count=sum(len(side.tokens) for side in counted)),
        Stage(name="tokens", count=sum(sum(side.tokens) for side in counted)),
        Stage(name="targets", count=sum(sum(side.targets) for side in counted)),
    ]
    if audit.compared < total:
        report.unchecked.append(
            f"Labels were decoded and compared with the words in {audit.compared:,} of {total:,} conversations, "
            "evenly over the file."
        )


def _shown_rows(ledger: Ledger) -> set[int]:
    """Rows whose place is told: of every error, and of what is kept of the warnings."""
    groups: list[Group] = [*ledger.errors, *ledger.warnings]
    return {row for group in groups for row in group.rows}
