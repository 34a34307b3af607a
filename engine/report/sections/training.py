"""How training went, as curves: loss, learning rate, gradient norm, speed, and what the machine did meanwhile."""

from __future__ import annotations

from engine.report.chart import Curve, Level, LineChart, Mark
from engine.report.document import Block, Figure, Notice, Section
from engine.report.facts import Story
from engine.report.points import curve, points, weighted_mean
from engine.report.verdict import LOSS_TARGET
from engine.report.words import count, loss, share
from states.wording import size


def training(story: Story) -> Section:
    """The chapter on the course of training."""
    view = story.view
    if not view.lr:
        text = "No optimizer step was completed, so there are no curves."
        return Section(id="training", title="Training", blocks=(Notice(text=text),))
    marks = _marks(story)
    blocks: list[Block] = [_loss(story, marks)]
    limit = _clip(story)
    blocks += [
        _figure("Learning rate", LineChart(curves=(curve(view.lr, "", "purple"),), from_zero=True)),
        _figure(
            "Gradient norm, before clipping",
            LineChart(
                curves=(curve(view.grad_norm, "", "teal", band=True),),
                from_zero=True,
                levels=(Level(at=limit, label=f"clipped above {limit:g}"),) if limit else (),
            ),
            caption=_clipped(story),
        ),
        _figure(
            "Tokens a second",
            LineChart(curves=(curve(view.tokens_per_s, "", "green", band=True),), from_zero=True),
        ),
    ]
    blocks += _machine(story)
    return Section(id="training", title="Training", lead=_lead(story), blocks=tuple(blocks))


def _lead(story: Story) -> str:
    view = story.view
    progress = view.progress
    best = story.best
    told = f"{count(progress.step)} steps over {progress.epoch:.3g} epochs and {count(progress.tokens)} tokens."
    if best is not None and best.loss is not None:
        told += f" The best evaluation in training was {loss(best.loss)} at step {best.step:,}."
    return told


def _loss(story: Story, marks: tuple[Mark, ...]) -> Figure:
    view = story.view
    every = [(float(each.step), each.loss) for each in story.in_training if each.loss is not None]
    if story.base is not None and story.base.loss is not None:
        every = [(0.0, story.base.loss), *every]
    curves = [
        curve(view.loss, "", "blue", faint=True),
        curve(view.smooth, "training", "blue"),
        Curve(name="validation", ink="orange", points=points(every), dots=len(every) <= 60),
    ]
    return Figure(
        title="Loss, nats per target token",
        wide=True,
        chart=LineChart(
            curves=tuple(each for each in curves if each.points),
            marks=marks,
            levels=(Level(at=LOSS_TARGET, label=f"target {LOSS_TARGET}"),),
        ),
        caption="Training loss of each step (faint) and its exponential mean; validation on the fixed subset, at step "
        "0 on the whole set.",
    )


def _marks(story: Story) -> tuple[Mark, ...]:
    marks = []
    plan, best = story.plan, story.best
    if plan is not None and 0 < plan.warmup_steps < story.view.progress.step:
        marks.append(Mark(at=float(plan.warmup_steps), label="warm-up ends", tone="soft"))
    if best is not None and best.step > 0:
        marks.append(Mark(at=float(best.step), label="best", tone="good"))
    marks += [
        Mark(at=float(each.first_step), label="resumed", tone="warn")
        for each in story.attempts[1:]
        if each.first_step > 0
    ]
    return tuple(marks)


def _machine(story: Story) -> list[Block]:
    view, curves = story.view, story.curves
    blocks: list[Block] = []
    cards = curve(view.gpu_utilisation, "", "orange", band=True, scale=0.01, least=1)
    if cards.points:
        wanted = (Level(at=0.8, label="wanted: above 80%"),)
        chart = LineChart(curves=(cards,), from_zero=True, top=1.0, y_format="percent", levels=wanted)
        blocks.append(_figure("GPU utilisation", chart))
    if curves.gpu_memory:
        total = sum(device.memory_total for device in view.gpus)
        chart = LineChart(
            curves=(curve(curves.gpu_memory, "", "rose", least=1),),
            from_zero=True,
            y_format="bytes",
            levels=(Level(at=float(total), label=f"installed {size(total)}"),) if total else (),
            span=(0.0, float(total)) if total else None,
        )
        blocks.append(_figure("GPU memory", chart))
        return blocks
    busy = curve(view.host_cpu, "", "orange", band=True, scale=0.01, least=1)
    if busy.points:
        chart = LineChart(curves=(busy,), from_zero=True, top=1.0, y_format="percent")
        blocks.append(_figure("Processor, all cores", chart, caption="No GPU was seen in this run."))
    used = curve(curves.rss, "", "rose", least=1)
    if used.points:
        chart = LineChart(curves=(used,), from_zero=True, y_format="bytes")
        blocks.append(_figure("Memory of the engine", chart))
    return blocks


def _clipped(story: Story) -> str:
    part = weighted_mean(story.curves.clipped)
    rejected = story.tallies.rejected
    told = "" if part is None else f"Clipped in {share(part)} of the steps." if part else "No step was clipped."
    return f"{told} {rejected:,} steps were not taken." if rejected else told


def _clip(story: Story) -> float | None:
    safety = story.view.config.get("safety")
    limit = safety.get("max_grad_norm") if isinstance(safety, dict) else None
    return float(limit) if isinstance(limit, int | float) and limit > 0 else None


def _figure(title: str, chart: LineChart, caption: str = "") -> Figure:
    return Figure(title=title, chart=chart, caption=caption)
