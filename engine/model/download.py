"""Bringing a base model from the hub: how large it is, which revision, whether it fits on the disk, and how far it is.

The hub's client downloads in a thread of its own, while the thread that asked counts what has arrived: so it can say
how far it is, and leave when a person cancels. What has arrived stays in the cache, and the next start goes on from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError
from engine.checkpoint.space import free_bytes
from engine.model.folder import check_folder
from states.wording import size

FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")
"""What is taken from the hub: nothing that is pickled and nothing that is code."""
LEFT_OUT = ("consolidated*", "*/*")
"""What is not: a second copy of the weights, in another library's form, that no loader of ours reads."""

POLL_S = 0.5
HEADROOM = 1.02
"""Of the size, that must be free: file systems round up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A base on the hub, as it stands at one revision."""

    name: str
    revision: str
    total: int
    """Bytes of all its files that are wanted."""
    missing: int
    """Bytes that are not in the cache yet."""
    cache: Path
    """Where they will lie."""

    @property
    def shortage(self) -> str | None:
        """A sentence where the disk of the cache has not enough room, else None."""
        free, needed = free_bytes(self.cache), int(self.missing * HEADROOM)
        if free >= needed:
            return None
        return (
            f"The base model {self.name} takes {size(self.missing)} more on the disk of {self.cache}, and {size(free)} "
            f"are free. Free {size(needed - free)}, or name another disk with HF_HOME."
        )


def look_up(name: str) -> Remote:
    """Ask the hub about a base, without downloading it.

    Raises:
        ConfigError: the hub does not answer, or does not know it.
    """
    from huggingface_hub import constants, snapshot_download

    from engine.model.quiet import hush

    hush()
    try:
        files = snapshot_download(name, allow_patterns=list(FILES), ignore_patterns=list(LEFT_OUT), dry_run=True)
    except Exception as error:
        raise _failed(name, error) from error
    if isinstance(files, str) or not files:
        raise ConfigError(f"The base model {name} has no files of the kinds that are needed: {', '.join(FILES)}.")
    cache = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    return Remote(
        name=name,
        revision=files[0].commit_hash,
        total=sum(each.file_size or 0 for each in files),
        missing=sum(each.file_size or 0 for each in files if each.will_download),
        cache=cache,
    )


def download(remote: Remote, progressed: Callable[[int], None]) -> Path:
    """Download what is missing and return the checked folder; `progressed` hears the bytes that have arrived.

    Raises:
        ConfigError: there is no room, the download failed, or what came is not usable.
    """
    if remote.shortage is not None:
        raise ConfigError(remote.shortage)
    before = _arrived(remote.cache)
    result: list[Path | Exception] = []

    def fetch() -> None:
        from huggingface_hub import snapshot_download

        try:
            # By name and not by revision: only so does the cache remember which one it is, for a start without network.
            folder = snapshot_download(remote.name, allow_patterns=list(FILES), ignore_patterns=list(LEFT_OUT))
            result.append(Path(folder))
        except Exception as error:  # noqa: BLE001  (told by the thread that waits)
            result.append(error)

    thread = threading.Thread(target=fetch, name="download", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        progressed(min(remote.missing, max(0, _arrived(remote.cache) - before)))
    came = result[0]
    if isinstance(came, Exception):
        raise _failed(remote.name, came) from came
    if came.name != remote.revision:
        raise ConfigError(
            f"The base model {remote.name} changed on the hub while it was downloaded ({remote.revision[:12]} became "
            f"{came.name[:12]}). Start again."
        )
    return check_folder(came)


def _arrived(cache: Path) -> int:
    """Bytes in the cache of one base, unfinished files included."""
    total = 0
    for path in cache.glob("blobs/*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # renamed at this moment
    return total


def _failed(name: str, error: Exception) -> ConfigError:
    # Errors of the hub client, of its HTTP library and of the file system all mean the same here.
    return ConfigError(
        f"The base model {name} could not be downloaded: {type(error).__name__}: {error}. Check the name, and "
        f"whether it needs a login; `hf download {name}` shows more. What has arrived is kept."
    )
