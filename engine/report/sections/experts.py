"""What the experts did: who carried how much, in which layer, for which domain, and what they are worth."""

from __future__ import annotations

import math

from engine.report.chart import INKS, AreaChart, HeatChart, Level, LineChart
from engine.report.document import Block, Bullets, Cell, Figure, Notice, Section, Table
from engine.report.facts import Story
from engine.report.points import curve, stacked
from engine.report.words import loss, share
from states.mixture import Examination, Experts
from states.text import one_line
from states.wording import alarm_words, number

MOST_DOMAINS = 24
MOST_LAYERS = 80


def expert_section(story: Story) -> Section | None:
    """The chapter on the experts; None for a run without any."""
    view = story.view
    model = view.model
    sample = view.eval_experts or view.experts
    if (model is not None and model.experts < 2) or sample is None:
        return None
    names = tuple(f"expert {index}" for index in range(len(sample.shares)))
    blocks: list[Block] = []
    if (usage := stacked(view.expert_shares, names)) is not None:
        blocks.append(_usage(usage))
    blocks += [_layers_over_time(story, len(names)), _entropy(story, len(names))]
    blocks += _domains(sample, names)
    blocks += _layers(sample, names)
    if view.examination is not None:
        blocks += _examination(view.examination, names)
    else:
        blocks.append(Notice(text="The experts were not examined: that is done in Finalize where its time allows."))
    if view.alarms:
        told = tuple(one_line(f"{alarm_words(alarm)}. {alarm.remedy}", 300) for alarm in view.alarms)
        blocks.append(Bullets(items=told, title="Alarms that stand at the end"))
    return Section(id="experts", title="Experts", lead=_lead(sample), blocks=tuple(blocks))


def _lead(sample: Experts) -> str:
    shares = ", ".join(share(each) for each in sample.shares)
    if len(sample.shares) > 8:
        shares = f"between {share(min(sample.shares))} and {share(max(sample.shares))} each"
    even = math.log(len(sample.shares)) if sample.shares else 0.0
    source = "on the validation data" if sample.window_steps == 0 else "in training"
    return (
        f"At step {sample.step:,}, {source}, the experts took {shares} of the tokens; the usage has an entropy of "
        f"{sample.entropy:.3f} nats ({even:.3f} is balanced)."
    )


def _usage(chart: AreaChart) -> Figure:
    return Figure(
        title="Expert usage",
        wide=True,
        chart=chart,
        caption="Share of all token assignments, mean over layers; 20 to 30% each is wanted of four experts.",
    )


def _layers_over_time(story: Story, experts: int) -> Figure:
    curves = story.curves
    even = 1 / experts
    return Figure(
        title="Least and most used expert of any layer",
        chart=LineChart(
            curves=(
                curve(curves.largest_share, "most", INKS[1]),
                curve(curves.least_share, "least", INKS[0]),
            ),
            from_zero=True,
            y_format="percent",
            levels=(Level(at=even, label=f"even {100 * even:.0f}%"),),
        ),
    )


def _entropy(story: Story, experts: int) -> Figure:
    balanced = math.log(experts)
    wanted = balanced / math.log(4)
    return Figure(
        title="Routing entropy, nats",
        chart=LineChart(
            curves=(curve(story.view.routing_entropy, "", "green"),),
            levels=(
                Level(at=balanced, label=f"balanced {balanced:.2f}"),
                Level(at=wanted, label=f"wanted: above {wanted:.2f}"),
            ),
            y_format=".2f",
            span=(wanted, balanced),
        ),
        caption="Of usage, mean over layers.",
    )


def _domains(sample: Experts, names: tuple[str, ...]) -> list[Block]:
    found = list(sample.domains.items())[:MOST_DOMAINS]
    if not found:
        return []
    values = tuple(row for _, row in found)
    most = max((max(row) for row in values), default=0.0)
    least = min((min(row) for row in values), default=0.0)
    chart = HeatChart(
        rows=tuple(one_line(name, 40) for name, _ in found),
        columns=names,
        values=values,
        low=min(least, 1 / len(names) - 0.05),
        high=max(most, 1 / len(names) + 0.05),
        cell_format="percent1",
    )
    told = "" if sample.information is None else f" They share {sample.information:.4f} nats of information."
    caption = f"Who carries a domain: each row sums to 100%; similar rows mean no specialisation.{told}"
    return [Figure(title="Domains and experts", chart=chart, caption=caption)]


def _layers(sample: Experts, names: tuple[str, ...]) -> list[Block]:
    rows = sample.layer_shares[:MOST_LAYERS]
    if len(rows) > 16:
        # Forty rows of numbers are a wall; their least and most are what a person looks for.
        worst = sorted(enumerate(rows), key=lambda each: max(each[1]) - min(each[1]), reverse=True)[:10]
        table = Table(
            title="The ten most uneven layers",
            columns=("layer", *names),
            rows=tuple((Cell(text=str(i)), *(Cell(text=share(each)) for each in row)) for i, row in worst),
            right=tuple(range(len(names) + 1)),
        )
        return [table]
    chart = HeatChart(
        rows=tuple(f"layer {index}" for index in range(len(rows))),
        columns=names,
        values=rows,
        low=min(min(map(min, rows)), 1 / len(names) - 0.05),
        high=max(max(map(max, rows)), 1 / len(names) + 0.05),
        cell_format="percent1",
    )
    return [Figure(title="Layers and experts", chart=chart, caption="Share of the layer's assignments.")]


def _examination(found: Examination, names: tuple[str, ...]) -> list[Block]:
    gap = found.gap
    worth = (
        "could not be measured"
        if gap is None
        else f"saves {number(gap, '.4f')} nats a token over the uniform average of the experts"
        if gap > 0
        else f"costs {number(-gap, '.4f')} nats a token against the uniform average of the experts"
    )
    told = f"Examined on {found.conversations:,} of {found.of_conversations:,} conversations: routing {worth}."
    if found.mutual_information is not None and found.permuted_p99 is not None:
        above = found.mutual_information > found.permuted_p99
        told += (
            f" Domain and expert share {found.mutual_information:.4f} nats; chance alone gives "
            f"{number(found.permuted_mean, '.4f')}, and less than {found.permuted_p99:.4f} in 99 of 100 permutations: "
            f"{'a difference between domains that is real, whatever its size' if above else 'no specialisation'}."
        )
    blocks: list[Block] = [*_causal(found, names), Notice(text=told)]
    if found.forced:
        blocks.append(_forced(found, names))
    return blocks


def _forced(found: Examination, names: tuple[str, ...]) -> Table:
    def row(name: str, values: tuple[float | None, ...]) -> tuple[Cell, ...]:
        return (Cell(text=name), *(Cell(text=loss(each)) for each in values))

    rows = [row("every token to it", found.forced)]
    if len(found.ablated) == len(found.forced):
        rows.append(row("without it", found.ablated))
    return Table(
        title="Loss with an expert forced or silenced",
        columns=("", *names[: len(found.forced)]),
        rows=tuple(rows),
        right=tuple(range(1, len(found.forced) + 1)),
        caption=f"Routed {loss(found.routed)}, uniform average {loss(found.average)}.",
    )


def _causal(found: Examination, names: tuple[str, ...]) -> list[Block]:
    rows = [(name, row) for name, row in found.forced_domains.items() if row][:MOST_DOMAINS]
    known = [each for _, row in rows for each in row if each is not None]
    if not known:
        return []
    chart = HeatChart(
        rows=tuple(one_line(name, 40) for name, _ in rows),
        columns=names[: len(rows[0][1])],
        values=tuple(tuple(row) for _, row in rows),
        low=min(known),
        high=max(known),
        cell_format=".3f",
    )
    caption = "Validation loss of a domain with every token sent to one expert; paler is better."
    return [Figure(title="Loss by domain with one expert forced", chart=chart, caption=caption)]
