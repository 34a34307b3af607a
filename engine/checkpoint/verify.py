"""Is this checkpoint whole? Re-hash everything, name what is wrong, and find the newest one that can be trusted."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.errors import reason
from engine.checkpoint.files import DISK
from engine.checkpoint.manifest import FILE_NAME, MANIFEST, Manifest, ManifestError, read

CHECKPOINT_NAME = re.compile(r"checkpoint-(\d{1,12})")
SET_ASIDE_NAME = re.compile(r"\.previous-(\d{1,12})-[0-9a-f]+")
"""A checkpoint that is being replaced by one of the same step keeps this name for the moment between two renames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check found; `manifest` is there whenever it could be read."""

    problems: tuple[str, ...]
    manifest: Manifest | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def why(self) -> str:
        """All problems in one line."""
        return "; ".join(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One checkpoint directory. `step` is the manifest's, or the one in its name where that cannot be read."""

    path: Path
    step: int
    verdict: Verdict


def verify(path: Path, *, hashes: bool = True) -> Verdict:
    """Check a checkpoint directory against its manifest.

    With `hashes=False` only names and sizes are compared, which costs nothing and sees an incomplete copy but no
    flipped bit.
    """
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        return Verdict(problems=(f"the directory cannot be read: {reason(error)}",), manifest=None)
    try:
        manifest = read(path / MANIFEST)
    except (ManifestError, OSError) as error:
        return Verdict(problems=(f"{MANIFEST}: {reason(error)}",), manifest=None)
    problems = [*_name_problems(path, manifest), *check_files(path, manifest, hashes=hashes)]
    problems += [
        f"{_shown(name)} is not listed in {MANIFEST}" for name in names if name not in {*manifest.files, MANIFEST}
    ]
    return Verdict(problems=tuple(problems), manifest=manifest)


def check_files(folder: Path, manifest: Manifest, *, hashes: bool = True) -> list[str]:
    """Return a problem for each listed file that is missing, of another size or of another content."""
    problems: list[str] = []
    for name, expected in manifest.files.items():
        try:
            status = os.lstat(folder / name)
            if not stat.S_ISREG(status.st_mode):
                problems.append(f"{name} is not a regular file")
            elif status.st_size != expected.bytes:
                problems.append(f"{name} has {status.st_size} bytes instead of {expected.bytes}")
            elif hashes and DISK.digest(folder / name) != expected:
                problems.append(f"{name} is damaged: its content does not match its hash")
        except FileNotFoundError:
            problems.append(f"{name} is missing")
        except OSError as error:
            problems.append(f"{name} cannot be read: {reason(error)}")
    return problems


def found(rundir: Path, *, hashes: bool = False) -> list[Found]:
    """Return the checkpoints of a run, oldest step first, each with its verdict."""
    items = [_look(path, hashes=hashes) for path in _named(rundir, (CHECKPOINT_NAME,))]
    return sorted(items, key=lambda item: (item.step, item.path.name))


def newest_valid(rundir: Path, *, on_skip: Callable[[Path, str], None]) -> Path | None:
    """Return the checkpoint with the highest step whose every byte verifies, or None.

    Each newer one that does not verify is told to `on_skip` with the reason. Order is by the step in the manifest,
    never by time stamps, which a copy changes.
    """
    candidates = [_look(path, hashes=False) for path in _named(rundir, (CHECKPOINT_NAME, SET_ASIDE_NAME))]
    for item in sorted(candidates, key=lambda item: (item.step, item.path.name), reverse=True):
        verdict = verify(item.path) if item.verdict.ok else item.verdict
        if verdict.ok:
            return item.path
        on_skip(item.path, verdict.why)
    return None


def best_of(checkpoints: Iterable[Found]) -> Found | None:
    """Return the sound checkpoint with the lowest recorded validation loss; of equals the earliest."""
    scored = [
        (item.verdict.manifest.eval_loss, item.step, item)
        for item in checkpoints
        if item.verdict.ok and item.verdict.manifest is not None and item.verdict.manifest.eval_loss is not None
    ]
    return min(scored, key=lambda entry: entry[:2])[2] if scored else None


def _named(rundir: Path, patterns: tuple[re.Pattern[str], ...]) -> list[Path]:
    try:
        entries = sorted(rundir.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in entries if any(pattern.fullmatch(path.name) for pattern in patterns)]


def _look(path: Path, *, hashes: bool) -> Found:
    verdict = verify(path, hashes=hashes)
    match = CHECKPOINT_NAME.fullmatch(path.name) or SET_ASIDE_NAME.fullmatch(path.name)
    named = int(match.group(1)) if match else 0
    return Found(path=path, step=verdict.manifest.step if verdict.manifest else named, verdict=verdict)


def _name_problems(path: Path, manifest: Manifest) -> list[str]:
    match = CHECKPOINT_NAME.fullmatch(path.name)
    if match and int(match.group(1)) != manifest.step:
        return [f"the directory is called {path.name} but its manifest is of step {manifest.step}"]
    return []


def _shown(name: str) -> str:
    return name if FILE_NAME.fullmatch(name) else ascii(name)
