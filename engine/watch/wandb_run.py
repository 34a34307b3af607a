"""One run in Weights & Biases: opened, continued, and kept to numbers and the configuration.

Everything here may be slow or fail; the tracker calls it in a thread of its own.
"""

from __future__ import annotations

import logging
import netrc
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from configs.wandb import WandbConfig
from engine.run.rundir import RunDir, write_json
from engine.watch.metrics import STEP

log = logging.getLogger("stint.tracker")

INIT_S = 60.0
FINISH_S = 30.0
"""The rented machine must not wait for an upload: what is missing is on disk, for `wandb sync`."""
_HOST = "api.wandb.ai"
_QUIETER = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}


def mode(config: WandbConfig, environment: Mapping[str, str] = os.environ) -> str:
    """`online`, `offline` or `disabled`. WANDB_MODE may make it quieter, and nobody logged in means offline."""
    asked = _QUIETER.get(environment.get("WANDB_MODE", "").strip().lower(), "online")
    if "disabled" in {asked, config.mode}:
        return "disabled"
    if "offline" in {asked, config.mode}:
        return "offline"
    if not logged_in(environment):
        log.warning(
            "W&B: nobody is logged in (`wandb login`, or WANDB_API_KEY), so this run is kept offline; "
            "`wandb sync` uploads it later"
        )
        return "offline"
    return "online"


def logged_in(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a key for the W&B server, in the environment or in a netrc file."""
    if environment.get("WANDB_API_KEY", "").strip():
        return True
    home = Path(environment.get("HOME") or Path.home())
    named = environment.get("NETRC")
    server = urlsplit(environment.get("WANDB_BASE_URL", "")).hostname or _HOST
    for path in [Path(named)] if named else [home / ".netrc", home / "_netrc"]:
        try:
            if netrc.netrc(str(path)).authenticators(server):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def run_id(rundir: RunDir) -> str:
    """The id of this run at W&B, made once and kept with the run, so that every attempt continues the same curves."""
    try:
        known = orjson.loads(rundir.tracker_json.read_bytes())["wandb_id"]
        if isinstance(known, str) and known.isalnum():
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    made = secrets.token_hex(6)
    write_json(rundir.tracker_json, {"wandb_id": made})
    return made


def open_run(library: Any, rundir: RunDir, config: WandbConfig, mode: str, recorded: dict[str, Any]) -> Any:
    """Start or continue the run; when the server cannot be reached, offline."""
    try:
        return _init(library, rundir, config, mode, recorded)
    except Exception as error:
        if mode != "online":
            raise
        log.warning("W&B cannot be reached (%s: %s): this run is kept offline", type(error).__name__, error)
        return _init(library, rundir, config, "offline", recorded)


def _init(library: Any, rundir: RunDir, config: WandbConfig, mode: str, recorded: dict[str, Any]) -> Any:
    run = library.init(
        project=config.project,
        entity=config.entity,
        name=config.name,
        tags=list(config.tags) or None,
        notes=config.notes,
        config={**config.config, **recorded},
        mode=mode,
        id=run_id(rundir),
        resume="allow",
        dir=str(rundir.path),
        settings=_settings(library),
    )
    # Curves over our own step: W&B's counter does not survive an offline resume.
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP)
    return run


def _settings(library: Any) -> Any:
    """Quiet, bounded, and private: no console output, source, git state, machine description or command line."""
    wanted: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "save_code": False,
        "disable_code": True,
        "disable_git": True,
        "disable_job_creation": True,
        "host": "engine",
        "init_timeout": INIT_S,
        "finish_timeout": FINISH_S,
        "x_disable_meta": True,
        "x_disable_machine_info": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
    }
    # Those with an x are W&B's own affair and come and go between its versions.
    known = library.Settings.model_fields
    return library.Settings(**{name: value for name, value in wanted.items() if name in known})
