"""A configuration while it is put together: raw values in layers, and for each the place where it was stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from configs.credentials import REMEDY, credentials
from configs.document import Document, read, shown
from configs.errors import ConfigError
from configs.positions import KeyPath, dotted
from configs.schema import FILES, FOR_EDITORS, SECTIONS


@dataclass(slots=True, kw_only=True)
class Draft:
    """Raw values by section. Later statements replace earlier ones."""

    directory: Path
    documents: Mapping[str, Document]
    data: dict[str, dict[str, object]] = field(init=False)
    stated: dict[tuple[str, str], str] = field(default_factory=dict)
    """(section, key) -> the flag or variable that replaced or supplied the value."""

    def __post_init__(self) -> None:
        self.data = {section: dict(self._content(section)) for section in SECTIONS}

    def state(self, section: str, path: KeyPath, value: object, origin: str) -> None:
        """Put a value at a path; `origin` is what a complaint about it names."""
        for found in credentials(value, path=path, hex_keys=section == "wandb"):
            raise ConfigError(f"{origin}: `{dotted(found)}` looks like a credential. {REMEDY}")
        key = str(path[0])
        target: object = self.data[section]
        for step in path[:-1]:
            # The file's own object stays as it was read: other layers are laid over a copy.
            inner = target.get(str(step), {}) if isinstance(target, dict) else None
            if not isinstance(inner, dict):
                raise ConfigError(f"{origin}: `{step}` is not an object, so nothing can be set inside it.")
            if isinstance(target, dict):
                target[str(step)] = dict(inner)
                target = target[str(step)]
        if isinstance(target, dict):
            target[str(path[-1])] = value
        self.stated[section, key] = origin

    def where(self, section: str, path: KeyPath, *, key: bool = False) -> str:
        """The place to name in a complaint about the value at a path, or about its key."""
        if path and (origin := self.stated.get((section, str(path[0])))):
            return origin
        if section in self.documents:
            return self.documents[section].where(path, key=key)
        return shown(self.directory / FILES[section])

    def sources(self) -> dict[str, str]:
        """`section.key` -> where it was stated, for every key that was."""
        return {f"{section}.{key}": self.where(section, (key,)) for section in SECTIONS for key in self.data[section]}

    def _content(self, section: str) -> Mapping[str, object]:
        document = self.documents.get(section)
        if document is None:
            return {}
        return {key: value for key, value in document.data.items() if key != FOR_EDITORS}


def read_directory(directory: Path) -> Draft:
    """The draft of a configuration directory; only training_config.json must be there. Raises `ConfigError`."""
    if not directory.is_dir():
        raise ConfigError(f"{shown(directory)} is not a directory. Name one that holds {FILES['training']}.")
    documents = {section: read(directory / file) for section, file in FILES.items() if _present(directory / file)}
    if "training" not in documents:
        raise ConfigError(
            f"{shown(directory)} holds no {FILES['training']}. "
            f"`run.py init {shown(directory)}` writes a commented one to start from."
        )
    for section, document in documents.items():
        for path in credentials(document.data, hex_keys=section == "wandb"):
            raise ConfigError(
                f"{document.where(path)}: the value of `{dotted(path)}` looks like a credential. {REMEDY}"
            )
    return Draft(directory=directory, documents=documents)


def _present(path: Path) -> bool:
    # A dangling link counts as present: reading it then says what is wrong instead of silently using defaults.
    return path.is_symlink() or path.exists()
