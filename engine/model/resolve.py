"""From a base model's name to the place it is loaded from, within seconds and before anything heavy is imported.

transformers would retry an unknown name for half a minute and then print five lines; here one short look decides.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from configs.errors import ConfigError
from engine.model.folder import check_folder

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_TRUE = {"1", "ON", "YES", "TRUE"}


def resolve(name: str, *, timeout_s: float = 2.0) -> Path | str:
    """Where a base model is: a checked local folder, or a hub id that has still to be downloaded.

    Args:
        name: a folder, or `owner/name` on the Hugging Face Hub.
        timeout_s: how long to wait for the hub, name resolution included.

    Raises:
        ConfigError: there is no such folder, the folder is not usable, or the id is neither cached nor reachable.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return check_folder(local)
    if local.exists():
        raise ConfigError(f"The base model {name} is a file. Name the folder that holds config.json and the weights.")
    if name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(name):
        raise ConfigError(
            f"There is no folder {name} for the base model (looked for {local.absolute()}), and it is not an "
            "owner/name of the Hugging Face Hub either. Correct base_model."
        )
    return _on_hub(name, timeout_s)


def _on_hub(name: str, timeout_s: float) -> Path | str:
    broken: ConfigError | None = None
    cached = _cached(name)
    if cached is not None:
        try:
            return check_folder(cached)
        except ConfigError as error:
            broken = error
    remedy = f"Run `hf download {name}` where there is a network, or name a local folder."
    if broken is not None:
        have = f"The cached copy of the base model {name} is not usable: {broken.message}"
    else:
        have = f"The base model {name} is not a local folder and not in the Hugging Face cache."
    if any(os.environ.get(key, "").upper() in _TRUE for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ConfigError(f"{have} HF_HUB_OFFLINE forbids to download it. {remedy}")
    host, port = _gateway()
    if not _reachable(host, port, timeout_s):
        raise ConfigError(f"{have} {host} cannot be reached (tried for up to {timeout_s:g} s). {remedy}")
    return name


def _cached(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _gateway() -> tuple[str, int]:
    """The host a download would open a connection to: the hub's, or the proxy's in front of it."""
    url = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host = url.hostname or "huggingface.co"
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(host):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host = url.hostname or host
    return host, url.port or (80 if url.scheme == "http" else 443)


def _reachable(host: str, port: int, timeout_s: float) -> bool:
    """Whether a connection opens in time. Name resolution has no timeout of its own, so a thread is given up on."""
    opened = threading.Event()

    def knock() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_s).close()
        except OSError:
            return
        opened.set()

    thread = threading.Thread(target=knock, name="hub-reachable", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return opened.is_set()
