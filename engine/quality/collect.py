"""The stimuli of an evaluation, read and checked as a whole before anything is asked of a model.

The program's own files come first; a person's folder of the same format adds to them, and may replace rules, checks
and locales by their ids. A folder with one bad file is refused: half of someone's cases would be a different question.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from configs.errors import ConfigError, DataError
from engine.quality import stimulus
from engine.quality.findings import Table
from engine.quality.resources import BUILT
from engine.quality.rules import Rule
from engine.quality.stimulus import KINDS, MAX_ITEMS, REPLACEABLE, WITHOUT_LANGUAGE, Header
from engine.quality.vetting import compiled, vet_item
from states.text import one_line

SHIPPED: Final = Path(__file__).parent / "stimuli"
MAX_BYTES: Final = 4 << 20
MAX_FILES: Final = 100
_KEYS: Final = frozenset({"schema", "kind", "name", "version", "language", "license", "provenance", "notes"})

_PLAINLY: Final = {
    "string_pattern_mismatch": "characters that are not allowed here",
    "missing": "is missing",
    "extra_forbidden": "is no key of this kind",
}

ItemT = TypeVar("ItemT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that items came from."""

    name: str
    version: str
    kind: str
    items: int
    own: bool
    """It came with the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stimuli:
    """Everything that one evaluation asks, in one language and for one country."""

    locale: stimulus.LocaleText
    locales: tuple[stimulus.LocaleText, ...]
    language: str
    sources: tuple[Source, ...]
    rules: Mapping[str, Rule]
    sha256: str
    """Over the contents of all files in order: two evaluations with the same one asked the same."""
    items: Mapping[str, tuple[BaseModel, ...]] = field(default_factory=dict)

    def of(self, kind: type[ItemT]) -> tuple[ItemT, ...]:
        """The items of one kind in the order of their files."""
        name = next(name for name, model in KINDS.items() if model is kind)
        return tuple(item for item in self.items.get(name, ()) if isinstance(item, kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: Path
    header: Header
    items: tuple[BaseModel, ...]
    own: bool
    sha256: str


def load(folder: Path | None, locale: str) -> Stimuli:
    """Read the program's stimuli and those in `folder`; raises DataError on a bad file, ConfigError on the locale."""
    files = [_read(path, own=True) for path in sorted(SHIPPED.glob("*.json"))]
    if folder is not None:
        files += [_read(path, own=False) for path in _listed(folder)]
    where = _by_id([file for file in files if file.header.kind == "locales"])
    if locale not in where:
        raise ConfigError(
            f"No crisis services are known for the locale `{one_line(locale, 40)}`, so no reply could be held to them. "
            f"Known: {', '.join(sorted(where))}. Add your own as docs/evaluation.md says."
        )
    language = locale.split("-")[0]
    fitting = [file for file in files if file.header.language in (None, language)]
    items = {kind: tuple(_by_id([file for file in fitting if file.header.kind == kind]).values()) for kind in KINDS}
    made = Stimuli(
        locale=_as(where[locale], stimulus.LocaleText),
        locales=tuple(_as(each, stimulus.LocaleText) for each in where.values()),
        language=language,
        sources=tuple(
            Source(
                name=file.header.name,
                version=file.header.version,
                kind=file.header.kind,
                items=len(file.items),
                own=file.own,
            )
            for file in fitting
        ),
        rules={each.id: compiled(each) for each in items["rules"] if isinstance(each, stimulus.RuleText)},
        sha256=hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest(),
        items=items,
    )
    _referred(made, files)
    return made


def table_of(stimuli: Stimuli, kinds: Collection[str]) -> Table:
    """Which files a section's questions came from."""
    return Table(
        title="Stimuli",
        columns=("file", "version", "kind", "items", "from"),
        rows=tuple(
            (each.name, each.version, each.kind, each.items, "the program" if each.own else "your folder")
            for each in stimuli.sources
            if each.kind in kinds
        ),
        caption=f"All of them together: sha256 {stimuli.sha256[:16]}, language {stimuli.language}.",
    )


def _listed(folder: Path) -> list[Path]:
    """The files of a person's folder; none that leads out of it, and nothing that could block or never end."""
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder. Stimuli are a folder of .json files; see docs/evaluation.md.")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder}: no .json file is in it. Stimuli are a folder of .json files.")
    if len(paths) > MAX_FILES:
        raise DataError(f"{folder}: {len(paths):,} .json files; at most {MAX_FILES} are read. Join some of them.")
    home = folder.resolve()
    for path in paths:
        if not path.resolve().is_relative_to(home):
            raise DataError(f"{path}: leads out of the folder. Put the file itself there.")
    return paths


def _read(path: Path, *, own: bool) -> _File:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"{path}: not a file.")
        if about.st_size > MAX_BYTES:
            raise DataError(f"{path}: {about.st_size:,} bytes; at most {MAX_BYTES:,} are read. Split it.")
        content = path.read_bytes()
        told = orjson.loads(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}.") from error
    if not isinstance(told, dict):
        raise DataError(f"{path}: must be an object with the keys {', '.join(sorted(_KEYS))} and items.")
    header = _model(Header, {key: value for key, value in told.items() if key != "items"}, f"{path}: the head")
    kind = KINDS.get(header.kind)
    if kind is None:
        raise DataError(f"{path}: `kind` {header.kind} is unknown. Known: {', '.join(KINDS)}.")
    if (header.language is None) is not (header.kind in WITHOUT_LANGUAGE):
        needed = "has no `language`" if header.kind in WITHOUT_LANGUAGE else 'needs a `language`, such as "en"'
        raise DataError(f"{path}: a file of {header.kind} {needed}.")
    raw = told.get("items")
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_ITEMS:
        raise DataError(f"{path}: `items` must be a list of 1 to {MAX_ITEMS:,} items.")
    items = []
    for number, each in enumerate(raw, start=1):
        place = f"{path}: item {number}{_named(each)}"
        item = _model(kind, each, place)
        vet_item(item, place)
        items.append(item)
    return _File(path=path, header=header, items=tuple(items), own=own, sha256=hashlib.sha256(content).hexdigest())


def _model(kind: type[ItemT], told: object, place: str) -> ItemT:
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = str(first["msg"]).removeprefix("Value error, ")
        what = _PLAINLY.get(first["type"], said)
        at = f", `{one_line(where, 80)}`" if where else ""
        raise DataError(f"{place}{at}: {what}. The format is in docs/evaluation.md.") from error


def _named(each: object) -> str:
    told: Any = each.get("id") if isinstance(each, dict) else None
    return f" (`{one_line(told, 64)}`)" if isinstance(told, str) else ""


def _by_id(files: Sequence[_File]) -> dict[str, BaseModel]:
    """Items by id over files of one kind; a second one of the same id is an error unless it may replace the first."""
    found: dict[str, BaseModel] = {}
    owner: dict[str, _File] = {}
    for file in files:
        for item in file.items:
            name = str(getattr(item, "id"))  # noqa: B009  (items of every kind have one)
            before = owner.get(name)
            if before is not None and (before.own is file.own or file.header.kind not in REPLACEABLE):
                raise DataError(f"{file.path}: item `{name}` is also in {before.path.name}. Give it a name of its own.")
            found[name], owner[name] = item, file
    return found


def _referred(made: Stimuli, files: Sequence[_File]) -> None:
    """Refuse what names a check or a rule that is not there."""
    checks = {check.id for check in made.of(stimulus.CheckText)}
    # Checks have no language: a rule that is known in any is a rule, one that is known in none is a slip.
    rules = {each.id for file in files for each in file.items if isinstance(each, stimulus.RuleText)} | BUILT
    for file, item in ((each, item) for each in files for item in each.items):
        for kind, name in _references(item):
            there = checks if kind == "check" else rules
            if name not in there:
                known = ", ".join(sorted(there))
                raise DataError(
                    f"{file.path}: item `{getattr(item, 'id', '')}`: no {kind} is called `{name}`. Known: {known}."
                )


def _references(item: BaseModel) -> Iterator[tuple[str, str]]:
    if isinstance(item, stimulus.Prompt):
        yield from (("check", name) for name in item.checks)
    elif isinstance(item, stimulus.CheckText):
        yield from (("rule", name) for name in (*item.rules, *item.unless))


def _as(item: BaseModel, kind: type[ItemT]) -> ItemT:
    assert isinstance(item, kind)
    return item
