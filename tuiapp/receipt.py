"""The lines left in the shell after the cockpit has gone: what the run is doing, and how to come back."""

from __future__ import annotations

from tuiapp import format as fmt
from tuiapp.frame import Frame, Link
from tuiapp.ink import inert
from tuiapp.outlook import outlook


def receipt(frame: Frame, attach_command: str) -> list[str]:
    """A handful of plain lines; none for a replay."""
    view = frame.view
    if frame.link is Link.REPLAY:
        return []
    lines = [_headline(frame)]
    if view.seq >= 0 and view.progress.step:
        total = view.plan.planned_steps if view.plan is not None else 0
        lines.append(
            f"  step {fmt.count(view.progress.step)}"
            + (f" of {fmt.count(total)}" if total else "")
            + f"   loss {fmt.loss(view.progress.smooth_loss)}"
            + (
                f"   best validation {fmt.loss(view.best.loss)} at step {fmt.count(view.best.step)}"
                if view.best
                else ""
            )
        )
    if view.checkpoints:
        lines.append(f"  last checkpoint {view.checkpoints[-1].path}")
    if frame.link in {Link.LIVE, Link.STARTING, Link.LOADING}:
        sight = outlook(frame)
        if sight.left_s is not None:
            finish = f"   projected finish {fmt.moment(sight.finish, sight.now)}" if sight.finish is not None else ""
            lines.append(f"  window {fmt.duration(sight.left_s)} left{finish}")
        lines.append(f"  attach again: {attach_command}")
    if frame.link in {Link.FAILED, Link.LOST} and frame.trouble:
        lines += [f"  {line}" for line in frame.trouble.strip().splitlines()[-8:]]
    if frame.home:
        lines.append(f"  run directory: {frame.home}")
    if left := [name for name in (frame.remains.report, frame.remains.evaluation) if name]:
        lines.append(f"  in it: {', '.join(left)}")
    return [inert(line) for line in lines]


def _headline(frame: Frame) -> str:
    view = frame.view
    name = view.identity.run_id or "run"
    match frame.link:
        case Link.STARTING:
            return "Detached while the engine was starting; it goes on."
        case Link.FAILED:
            return "The engine never came up."
        case Link.LOST:
            return (
                f"{name}: the engine is gone without a last record. The same command resumes from the last checkpoint."
            )
        case Link.ENDED if view.ending is not None:
            return f"{name}: {view.ending.outcome} ({view.ending.reason}), exit code {view.ending.exit_code}."
        case _:
            state = f"{view.phase}, paused" if view.paused else str(view.phase)
            return (
                f"{name}: detached in {state}. Training goes on." if not view.paused else f"{name}: detached; {state}."
            )
