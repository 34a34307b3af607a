"""Rules about the machine and the clock: memory, speed, the window, pauses, checkpoints, sinks, how it ended."""

from __future__ import annotations

import math

from engine.report.document import Advice, Change
from engine.report.facts import Story
from engine.report.points import weighted_mean
from engine.report.rules.reading import change, configured, scaled
from engine.report.words import count, sentence, share
from engine.run.status import Liveness
from states.phases import Outcome, Reason
from states.text import one_line
from states.wording import duration

GPU_BUSY = 80.0
WAITING = 0.1
SLOW = 0.8
UNUSED = 0.4
_MEMORY_WORDS = ("outofmemory", "out of memory", "memoryerror", "cannot allocate memory")


def out_of_memory(story: Story) -> Advice | None:
    """Memory ran out, and bins were made smaller or the run failed."""
    failure, times = story.view.failure, story.tallies.memory_reduced
    words = f"{failure.error_type} {failure.message}".lower() if failure else ""
    failed = any(each in words for each in _MEMORY_WORDS)
    if not times and not failed:
        return None
    least = story.tallies.smallest_bin
    told = f"Memory ran out {times:,} times" if times else "The run failed for lack of memory"
    changes: tuple[Change, ...] = (change(story, "training.bin_tokens", least),) if least else ()
    if failed:
        changes = (
            *scaled(story, "training.bin_tokens", 0.5),
            *scaled(story, "training.max_length", 0.5),
            change(story, "training.gradient_checkpointing", "true"),
            change(story, "training.optimization_priority", "memory_efficient"),
        )
    return Advice(
        rule="out-of-memory",
        tone="bad" if failed else "warn",
        title="Memory ran out",
        evidence=f"{told}; it should not at all." + (f" It fitted with bins of {least:,} tokens." if least else ""),
        value=float(max(times, failed)),
        limit=0.0,
        advice="Smaller bins change the memory and not what is learned; recomputed activations and shorter examples "
        "save the most.",
        changes=changes,
    )


def gpu_underused(story: Story) -> Advice | None:
    """The document wants more than 80% of the card."""
    busy = weighted_mean(story.view.gpu_utilisation, least=1)
    if busy is None or busy >= GPU_BUSY or story.view.progress.step < 10:
        return None
    reduced = story.tallies.memory_reduced or out_of_memory(story) is not None
    return Advice(
        rule="gpu-underused",
        tone="warn",
        title="The GPU was not busy",
        evidence=f"Utilisation {busy:.0f}% on average; wanted above {GPU_BUSY:.0f}%.",
        value=busy,
        limit=GPU_BUSY,
        advice="Larger bins give it more to do at once" + (", as far as memory allows." if reduced else "."),
        changes=scaled(story, "training.bin_tokens", 2.0) if not reduced else (),
    )


def waiting_for_data(story: Story) -> Advice | None:
    """Steps that wait for their batch."""
    spent = story.spent
    if spent.training <= 0 or spent.data <= WAITING * spent.training:
        return None
    part = spent.data / spent.training
    return Advice(
        rule="data-slow",
        tone="warn",
        title="Training waited for data",
        evidence=f"{share(part)} of the step time was spent waiting for batches (limit {share(WAITING, 0)}).",
        value=part,
        limit=WAITING,
        advice="Something else uses the processor or the disk; give the engine more threads or a machine of its own.",
        changes=(),
    )


def slower_than_planned(story: Story) -> Advice | None:
    """The plan's speed was not reached."""
    plan, progress = story.plan, story.view.progress
    if plan is None or plan.tokens_per_s <= 0 or progress.trained_s <= 0 or progress.step < 10:
        return None
    rate = progress.tokens / progress.trained_s
    part = rate / plan.tokens_per_s
    if part >= SLOW:
        return None
    return Advice(
        rule="too-slow",
        tone="warn",
        title="Training was slower than planned",
        evidence=f"{count(rate)} tokens a second instead of {count(plan.tokens_per_s)} ({share(part, 0)}; limit "
        f"{share(SLOW, 0)}).",
        value=part,
        limit=SLOW,
        advice="Look for other work on the machine. The fast profile takes shorter examples and fewer epochs.",
        changes=(change(story, "training.optimization_priority", "fast"),)
        if configured(story, "training.optimization_priority") != "fast"
        else (),
    )


def deadline_cut(story: Story) -> Advice | None:
    """The window ended the run before its steps were done."""
    end, plan = story.view.ending, story.plan
    if end is None or plan is None or end.outcome is not Outcome.FINISHED:
        return None
    if end.reason not in {Reason.DEADLINE, Reason.TARGET}:
        return None
    wanted = story.wanted_steps
    part = end.step / wanted if wanted else 1.0
    if part >= 1:
        return None
    window = story.view.window
    length = (window.deadline_wall or 0.0) - (window.opened_wall or 0.0)
    if length <= 0:
        return None
    needed = length / max(part, 0.01) / 3600.0
    epochs = end.step / plan.steps_per_epoch if plan.steps_per_epoch else 0.0
    changes = [change(story, "training.max_training_hours", _hours(needed))]
    if epochs >= 1:
        changes.append(change(story, "training.num_train_epochs", int(epochs)))
    if configured(story, "training.optimization_priority") != "fast":
        changes.append(change(story, "training.optimization_priority", "fast"))
    return Advice(
        rule="deadline-cut",
        tone="warn",
        title="The window was too short for all epochs",
        evidence=f"{end.step:,} of the {wanted:,} steps that all epochs take ({share(part, 0)}), in a window of "
        f"{duration(length)}.",
        value=part,
        limit=1.0,
        advice="Give it more time or less to do: one of these, or a smaller sample of the data "
        "(run.py dataset sample).",
        changes=tuple(changes),
    )


def window_unused(story: Story) -> Advice | None:
    """Hours that were paid for and not used."""
    end, window = story.view.ending, story.view.window
    if end is None or end.reason is not Reason.TARGET or window.deadline_wall is None or window.opened_wall is None:
        return None
    length = window.deadline_wall - window.opened_wall
    left = window.deadline_wall - story.view.wall
    if length <= 0 or left <= UNUSED * length:
        return None
    return Advice(
        rule="window-unused",
        tone="info",
        title="Much of the window was left",
        evidence=f"{duration(left)} of {duration(length)} ({share(left / length, 0)}; more than {share(UNUSED, 0)}).",
        value=left / length,
        limit=UNUSED,
        advice="There is room for more epochs or more data, or for a shorter and cheaper window.",
        # A plan that was cut to the window must not be given less of it.
        changes=(change(story, "training.max_training_hours", _hours(1.2 * (length - left) / 3600)),)
        if story.wanted_steps <= end.step
        else (),
    )


def _hours(hours: float) -> str:
    """Two figures, never less than asked for; some seconds at least, whatever the clock did."""
    hours = max(hours, 0.001)
    digits = max(0, 1 - math.floor(math.log10(hours)))
    return f"{math.ceil(round(hours * 10**digits, 6)) / 10**digits:g}"


def long_pauses(story: Story) -> Advice | None:
    """The window goes on while a run is paused."""
    spent, wall = story.spent, story.wall_s
    if wall <= 0 or spent.paused <= 0.1 * wall:
        return None
    return Advice(
        rule="paused-long",
        tone="warn",
        title="The run was paused for long",
        evidence=f"{duration(spent.paused)} of {duration(wall)} ({share(spent.paused / wall, 0)}; limit 10%).",
        value=spent.paused / wall,
        limit=0.1,
        advice="Pausing does not stop the clock of the window: stop the run and resume it with new hours instead.",
    )


def checkpoints_failed(story: Story) -> Advice | None:
    """Saves that failed, or checkpoints that were damaged when a resume looked."""
    failed, skipped = story.tallies.checkpoint_failures, story.tallies.checkpoint_skips
    if not failed and not skipped:
        return None
    return Advice(
        rule="checkpoints-failed",
        tone="bad",
        title="Checkpoints failed",
        evidence=f"{failed:,} could not be written and {skipped:,} were found damaged; none should be.",
        value=float(failed + skipped),
        limit=0.0,
        advice="Check the disk and its free space, and run run.py checkpoint verify; keep fewer if space is short.",
        changes=scaled(story, "training.save_total_limit", 0.6) if failed else (),
    )


def work_lost(story: Story) -> Advice | None:
    """Steps that a crash cost, because the last checkpoint was old."""
    spent = story.spent
    if spent.training <= 0 or spent.redone <= 0.1 * spent.training:
        return None
    return Advice(
        rule="work-lost",
        tone="warn",
        title="Work was lost and done again",
        evidence=f"{duration(spent.redone)} of {duration(spent.training)} of steps "
        f"({share(spent.redone / spent.training, 0)}; limit 10%).",
        value=spent.redone / spent.training,
        limit=0.1,
        advice="Save more often: that is the most work a crash can cost.",
        changes=scaled(story, "safety.checkpoint_interval_minutes", 0.5),
    )


def sink_failed(story: Story) -> Advice | None:
    """W&B or another listener fell silent."""
    sinks = story.tallies.sinks
    if not sinks:
        return None
    names = ", ".join(one_line(each, 40) for each in sinks)
    return Advice(
        rule="sink-failed",
        tone="info",
        title="A log fell silent",
        evidence=f"{len(sinks):,} switched off: {names}; training was not touched.",
        value=float(len(sinks)),
        limit=0.0,
        advice="For W&B: wandb login before the run, or keep it offline and wandb sync later.",
        changes=(change(story, "wandb.mode", "offline"),) if "tracker" in sinks else (),
    )


def not_ended(story: Story) -> Advice | None:
    """A run that can go on."""
    end = story.view.ending
    lost = story.liveness is Liveness.LOST
    stopped = end is not None and end.outcome in {Outcome.INTERRUPTED, Outcome.FAILED, Outcome.CANCELLED}
    if story.view.seq < 0 or not (lost or stopped):
        return None
    saved = story.view.checkpoints[-1] if story.view.checkpoints else None
    failure = story.view.failure
    told = sentence(f"{failure.error_type}: {failure.message}") if failure and stopped else ""
    step = story.view.progress.step
    first = "It was killed, or its machine went down." if lost else f"It ended {end.outcome.value if end else ''}."
    held = f"{saved.path} holds step {saved.step:,} of {step:,}." if saved else "There is no checkpoint."
    remedy = sentence(failure.remedy) if failure and failure.remedy else ""
    way = "" if "--resume" in remedy else "run.py --resume auto goes on from the newest checkpoint that verifies."
    if not saved and way:
        way = "run.py --resume auto begins again."
    return Advice(
        rule="resume",
        tone="bad",
        title="The run can go on" if saved else "The run has to begin again",
        evidence=" ".join(part for part in (first, told, held) if part),
        value=float(saved.step) if saved else None,
        limit=float(step),
        advice=" ".join(
            part
            for part in (remedy, way, "Give it this output directory; a passed deadline needs new --hours.")
            if part
        ),
    )


RULES = (
    not_ended,
    out_of_memory,
    checkpoints_failed,
    deadline_cut,
    slower_than_planned,
    gpu_underused,
    waiting_for_data,
    work_lost,
    long_pauses,
    window_unused,
    sink_failed,
)
