"""The verdict strip: how the run ended and why, before anything else is said."""

from __future__ import annotations

from engine.report.document import Tile, Verdict
from engine.report.facts import Story
from engine.report.words import change, count, loss, plural, ppl, sentence, unbroken
from engine.run.status import Liveness
from states.phases import Outcome, Reason
from states.text import one_line
from states.view import Ending
from states.wording import duration, perplexity

LOSS_TARGET = 1.5
"""The user's targets; a loss of 1.5 is a perplexity of 4.48, so the second one asks for more."""
PERPLEXITY_TARGET = 2.5


def verdict(story: Story) -> Verdict:
    """The strip for this story."""
    tone, headline, why = _ending(story)
    found = story.beside.evaluation
    red = len(found.red_failures) if found else 0
    if red:
        tone, why = "bad", f"NOT SAFE: {plural(red, 'red failure')}; it must not meet people. {why}"
    elif found is None and story.view.seq >= 0:
        why = f"{why} The model was not evaluated for safety."
    return Verdict(tone=tone, headline=headline, why=why, tiles=_tiles(story))


def _ending(story: Story) -> tuple[str, str, str]:
    view = story.view
    if view.seq < 0:
        return "bad", "Nothing was recorded", "The journal of this run has no record, so there is nothing to report."
    end = view.ending
    if end is None:
        return _without_end(story)
    if end.outcome is Outcome.FAILED:
        return _failed(story, end)
    steps = _steps(story)
    code = f"Exit code {end.exit_code}."
    if end.outcome is Outcome.INTERRUPTED:
        way = f"{end.checkpoint} is there to resume from" if end.checkpoint else "there is no checkpoint"
        return "warn", f"Interrupted by a signal after {steps}", f"It stopped before its horizon; {way}. {code}"
    if end.outcome is Outcome.CANCELLED:
        who = "by its operator" if end.reason is Reason.OPERATOR else f"({end.reason.value})"
        return "warn", f"Cancelled {who} after {steps}", f"Nothing was finalised. {code}"
    match end.reason:
        case Reason.TARGET:
            wanted = story.wanted_steps
            cut = (
                f"The window holds {end.step:,} of the {wanted:,} steps that all epochs take."
                if wanted > end.step
                else ""
            )
            why = f"{cut or 'Nothing cut it short.'} {code}"
            return "good", f"Finished: all {plural(end.step, 'planned step')} done", why
        case Reason.EARLY_STOP:
            best = f", which was {loss(end.best_loss)} at step {count(end.best_step)}" if end.best_step else ""
            why = f"The validation loss stopped improving on its best{best}. {code}"
            return "warn", f"Stopped early after {steps}", why
        case Reason.DEADLINE:
            why = f"The paid window ran short; the learning rate was brought down in time. {code}"
            return "warn", f"Ended by its deadline after {steps}", why
        case Reason.OPERATOR:
            return "warn", f"Stopped by its operator after {steps}", f"Asked to finish, and finalised. {code}"
    return "warn", f"Ended ({end.reason.value}) after {steps}", code


def _failed(story: Story, end: Ending) -> tuple[str, str, str]:
    failure = story.view.failure
    if failure is None:
        return "bad", f"Failed after {_steps(story)}", f"An error ended the run. Exit code {end.exit_code}."
    why = sentence(f"{failure.error_type}: {failure.message}", 500)
    return "bad", f"Failed in {failure.phase.value} after {_steps(story)}", f"{why} Exit code {end.exit_code}."


def _without_end(story: Story) -> tuple[str, str, str]:
    view = story.view
    if story.liveness is Liveness.LOST:
        saved = view.checkpoints[-1] if view.checkpoints else None
        lost = view.progress.step - saved.step if saved else view.progress.step
        kept = f"{saved.path} is there to resume from; {plural(lost, 'step')} after it are lost" if saved else ""
        where = kept or "No checkpoint was written"
        torn = f" The journal ends in {story.torn_bytes:,} damaged bytes." if story.torn_bytes else ""
        why = f"The engine left no last word: it was killed, or its machine went down. {where}.{torn}"
        return "bad", f"Killed or lost in {view.phase.value} after {_steps(story)}", why
    paused = ", paused" if view.paused else ""
    why = f"Everything below is as of the newest record, {duration(story.wall_s)} into the run, and not final."
    return "info", f"Still running: {view.phase.value}{paused}, {_steps(story)} done", why


def _steps(story: Story) -> str:
    done = story.view.progress.step
    wanted = story.wanted_steps
    if wanted > done:
        return f"{done:,} of {plural(wanted, 'step')}"
    return plural(done, "step")


def _tiles(story: Story) -> tuple[Tile, ...]:
    if story.view.seq < 0:
        return ()
    return (_loss_tile(story), _perplexity_tile(story), _time_tile(story), _safety_tile(story))


def _loss_tile(story: Story) -> Tile:
    tuned, base = story.tuned, story.base
    if tuned is None or tuned.loss is None:
        note = f"untouched model: {loss(base.loss)}" if base else "no validation loss was measured"
        return Tile(label="Validation loss", value="unknown", note=note, tone="warn")
    met = tuned.loss < LOSS_TARGET
    scope = "" if tuned.scope == "full" else " (on the subset used in training)"
    note = f"target below {LOSS_TARGET}: {'met' if met else 'not met'}{scope}"
    return Tile(label="Validation loss", value=loss(tuned.loss), note=note, tone="good" if met else "warn")


def _perplexity_tile(story: Story) -> Tile:
    tuned, base = story.tuned, story.base
    after = perplexity(tuned.loss) if tuned else None
    if tuned is None or after is None:
        return Tile(label="Perplexity", value="unknown", tone="warn")
    met = after < PERPLEXITY_TARGET
    value = f"{ppl(base.loss)} \u2192 {ppl(tuned.loss)}" if base else ppl(tuned.loss)
    # Losses on different parts of the data are no difference.
    moved = f"loss {change(base.loss, tuned.loss)}; " if base and base.scope == tuned.scope else ""
    note = f"{moved}target below {PERPLEXITY_TARGET}: {'met' if met else 'not met'}"
    return Tile(label="Perplexity, base \u2192 tuned", value=value, note=note, tone="good" if met else "warn")


def _time_tile(story: Story) -> Tile:
    plan = story.plan
    window = story.view.window
    spent = story.wall_s - story.spent.down
    if plan is None:
        return Tile(label="Wall time", value=duration(spent), note="nothing was planned")
    planned = sum(plan.estimated_s.values())
    limit = ""
    if window.deadline_wall is not None and window.opened_wall is not None:
        limit = f", window {unbroken(duration(window.deadline_wall - window.opened_wall))}"
    late = story.over and spent > 1.25 * planned
    return Tile(
        label="Wall time",
        value=duration(spent),
        note=f"planned {unbroken(duration(planned))}{limit}",
        tone="warn" if late else "info",
    )


def _safety_tile(story: Story) -> Tile:
    found = story.beside.evaluation
    if found is None:
        note = story.beside.evaluation_problem or "run.py evaluate does it"
        return Tile(label="Safety", value="not evaluated", note=note, tone="bad")
    red = len(found.red_failures)
    if red:
        first = one_line(found.red_failures[0].title, 60)
        more = f" and {red - 1} more" if red > 1 else ""
        return Tile(label="Safety", value=f"NOT SAFE: {red} red", note=f"{first}{more}", tone="bad")
    clean = found.headline.startswith("no red failure")
    return Tile(label="Safety", value="no red failure" if clean else "open", note=found.headline,
                tone="good" if clean else "warn")  # fmt: skip
