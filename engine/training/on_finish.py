"""The configured `on_finish` command (upload, power off): run after the end, so that idle hours are not billed."""

from __future__ import annotations

import os
import signal
import subprocess

from engine.training.launch import Launch
from states.phases import ExitCode


def on_finish(launch: Launch, code: ExitCode) -> None:
    """Run the command with the run's facts in its environment; it cannot fail the run, and ends at its timeout."""
    command = launch.config.safety.on_finish
    if not command:
        return
    # A terminal that closes now must not end the upload.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    environment = {**os.environ, "STINT_RUN_DIR": str(launch.directory.absolute()), "STINT_EXIT_CODE": str(int(code))}
    try:
        done = subprocess.run(  # noqa: S603  (the person's own configured command, no shell)
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=launch.config.safety.on_finish_timeout_s,
            check=False,
        )
        if done.returncode:
            print(f"stint: on_finish ended with exit code {done.returncode}", flush=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"stint: on_finish did not run to its end: {error}", flush=True)
    finally:
        signal.signal(signal.SIGHUP, before)
