"""The git repository that a release is tagged in, through the git program."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UsageError

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree with at least one commit."""

    root: Path
    commit: str
    dirty: bool
    """Whether tracked files differ from the commit, or there are files that git does not know and does not ignore."""


def find_repository(place: Path) -> Repository | None:
    """The repository around `place`; None where there is none, or no git.

    Raises:
        UsageError: git is there but will not say, for example because the folder is somebody else's.
    """
    try:
        top = _git(place, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return None
    if top.returncode != 0:
        if "not a git repository" in top.stderr.lower():
            return None
        raise UsageError(f"git cannot read the repository around {place}: {_said(top)}. --no-tag releases without it.")
    root = Path(top.stdout.strip())
    head = _git(root, "rev-parse", "--verify", "HEAD^{commit}")
    if head.returncode != 0:
        raise UsageError(
            f"The repository {root} has no commit yet, so there is nothing to tag. Commit, or use --no-tag."
        )
    status = _git(root, "status", "--porcelain")
    if status.returncode != 0:
        raise UsageError(f"git cannot compare {root} with its commit: {_said(status)}. --no-tag releases without it.")
    return Repository(root=root, commit=head.stdout.strip(), dirty=bool(status.stdout.strip()))


def check_tag(repository: Repository, tag: str) -> None:
    """Raise `UsageError` where git would not take the name, or has it already."""
    if _git(repository.root, "check-ref-format", f"refs/tags/{tag}").returncode != 0:
        raise UsageError(f"{tag!r} is no name for a git tag. Use letters, digits, dots and dashes.")
    if _git(repository.root, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}").returncode == 0:
        raise UsageError(
            f"The tag {tag} exists in {repository.root}. A released version is never moved: choose the next one."
        )


def make_tag(repository: Repository, tag: str, message: str) -> None:
    """Make an annotated tag on the commit; raises `UsageError` with git's own words."""
    made = _git(repository.root, "tag", "--annotate", "--file=-", "--", tag, repository.commit, given=message)
    if made.returncode != 0:
        raise UsageError(f"git did not make the tag {tag} in {repository.root}: {_said(made)}.")


def drop_tag(repository: Repository, tag: str) -> None:
    """Take a tag back that was made a moment ago."""
    _git(repository.root, "tag", "--delete", "--", tag)


def _git(place: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    # A hook of git's that calls this program points git at another repository.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    try:
        return subprocess.run(  # noqa: S603  (no shell, and no word of it comes from data)
            ["git", "-C", str(place), *words],  # noqa: S607  (the user's own git)
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"git did not answer about {place} within {_TIMEOUT_S:.0f} s. --no-tag releases without it."
        ) from error


def _said(process: subprocess.CompletedProcess[str]) -> str:
    return " ".join(process.stderr.split()).rstrip(".") or f"exit code {process.returncode}"
