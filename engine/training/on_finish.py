"""The configured `on_finish` command (upload, power off): run after the end, so that idle hours are not billed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from engine.training.launch import Launch
from states.phases import ExitCode


def on_finish(launch: Launch, code: ExitCode) -> None:
    """Run the command with the run's facts in its environment; it cannot fail the run, and ends at its timeout.

    It gets a session of its own, so that what it has started itself ends with it.
    """
    command = launch.config.safety.on_finish
    if not command:
        return
    # A terminal that closes now must not end the upload.
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    environment = {**os.environ, "STINT_RUN_DIR": str(launch.directory.absolute()), "STINT_EXIT_CODE": str(int(code))}
    process = None
    try:
        process = subprocess.Popen(  # noqa: S603  (the person's own configured command, no shell)
            command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        returned = process.wait(launch.config.safety.on_finish_timeout_s)
        if returned:
            print(f"stint: on_finish ended with exit code {returned}", flush=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"stint: on_finish did not run to its end: {error}", flush=True)
    finally:
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        signal.signal(signal.SIGHUP, before)
