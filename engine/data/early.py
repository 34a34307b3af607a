"""What must be known of the data before anything is spawned: whether a run's Setup would refuse it.

All errors and nothing else: near-duplicates, groups and warnings wait for Setup, where a person sees it at work. A
large file that passed is remembered by its identity on the disk, so that the next start need not read it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from configs.schema import Config
from engine.data.audit import refuse
from engine.data.cache import cache_root
from engine.data.checks.finding import Ledger
from engine.data.checks.wording import both_roles
from engine.data.formats import read_dataset
from engine.data.prepare import check_names, nothing_left
from engine.data.sources import Progress
from engine.data.split import one_prompt, prompt_key, without_shared_prompts
from engine.data.template import GENERAL

LARGE_BYTES: Final = 32 << 20
"""Files from this size on are remembered; smaller ones are read in a second or two."""
REMEMBERED: Final = 32


def check_sources(config: Config, progress: Progress) -> None:
    """Raise the `DataError` or `ConfigError` that reading the files in Setup would end in."""
    training = config.training
    names = [training.dataset] + ([training.validation_dataset] if training.validation_dataset else [])
    mark = _mark(config, names)
    if mark is not None and mark.is_file():
        return
    datasets = []
    for name in names:
        progress(f"read {Path(name).name}", 0, 1)
        datasets.append(read_dataset(Path(name), partial(progress, f"read {Path(name).name}")))
    conversations = datasets[0].conversations
    if len(datasets) == 1:
        first = prompt_key(conversations[0])
        if all(prompt_key(each) == first for each in conversations):
            raise one_prompt(conversations)
    elif not without_shared_prompts(conversations, datasets[1].conversations)[0]:
        raise nothing_left(names)
    everyone = [each for dataset in datasets for each in dataset.conversations]
    check_names(config.moe.domains, sorted({each.domain or GENERAL for each in everyone}))
    for dataset in datasets:
        ledger = Ledger()
        for done, conversation in enumerate(dataset.conversations):
            if done % 4096 == 0:
                progress(f"check {dataset.path.name}", done, len(dataset.conversations))
            ledger.add(both_roles(conversation))
        progress(f"check {dataset.path.name}", len(dataset.conversations), len(dataset.conversations))
        refuse(ledger, str(dataset.path), dataset.unit)
    if mark is not None:
        _remember(mark)


def _mark(config: Config, names: Sequence[str]) -> Path | None:
    """The file whose presence says that these files passed under these settings; None where reading them is quick."""
    try:
        found = [os.stat(name) for name in names]
    except OSError:
        return None
    if sum(each.st_size for each in found) < LARGE_BYTES:
        return None
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    facts = {
        "files": [[each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns] for each in found],
        "names": list(names),
        "domains": config.moe.domains,
        "code": code.hexdigest(),
    }
    return cache_root().with_name("checked") / hashlib.sha256(orjson.dumps(facts)).hexdigest()[:32]


def _remember(mark: Path) -> None:
    """A convenience: where nothing can be kept, the next start reads again."""
    with contextlib.suppress(OSError):
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)
        for old in sorted(_entries(mark.parent), key=lambda path: path.stat().st_mtime, reverse=True)[REMEMBERED:]:
            old.unlink(missing_ok=True)


def _entries(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file())
