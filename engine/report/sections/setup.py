"""What was asked for and where it ran: the configuration against its defaults, the plan's changes, the machine."""

from __future__ import annotations

from typing import Any

from engine.report.document import Block, Bullets, Cell, Notice, Pairs, Section, Table
from engine.report.facts import Story
from engine.report.words import count, instant, loss, setting, share
from states.text import one_line
from states.wording import size

MOST_ROWS = 120


def configuration(story: Story) -> Section:
    """The chapter on the configuration."""
    config = story.view.config
    if not config:
        text = "No configuration was recorded."
        return Section(id="configuration", title="Configuration", blocks=(Notice(text=text),))
    blocks: list[Block] = [_differences(config), _all(config)]
    changes = story.plan.changes if story.plan else ()
    if changes:
        blocks.append(Bullets(items=tuple(one_line(each, 400) for each in changes), title="What the plan changed"))
    lead = f"Configuration {one_line(story.view.config_hash, 12)}; values that differ from the defaults come first. "
    lead += "Files are named without their folders; config.resolved.json has those."
    return Section(id="configuration", title="Configuration", lead=lead, blocks=tuple(blocks))


def defaults() -> dict[str, dict[str, Any]]:
    """Section -> key -> default; keys that must be stated have none."""
    from configs.schema import SECTIONS

    return {
        name: {
            key: field.get_default(call_default_factory=True)
            for key, field in section.model_fields.items()
            if not field.is_required()
        }
        for name, section in SECTIONS.items()
    }


def _sections(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, values) for name, values in config.items() if isinstance(values, dict) and name != "source"]


def _differences(config: dict[str, Any]) -> Table | Notice:
    usual = defaults()
    source = config.get("source")
    stated = source if isinstance(source, dict) else {}
    rows = []
    for name, values in _sections(config):
        for key, value in values.items():
            known = key in usual.get(name, {})
            default = usual.get(name, {}).get(key)
            if known and _same(value, default):
                continue
            where = stated.get(f"{name}.{key}", "")
            rows.append(
                (
                    Cell(text=one_line(f"{name}.{key}", 80), mono=True),
                    Cell(text=setting(value), strong=True, mono=True),
                    Cell(text=setting(default) if known else "none", mono=True),
                    Cell(text=_place(str(where))),
                )
            )
    if not rows:
        return Notice(text="Every value is the default.")
    return Table(
        title="Differences from the defaults",
        columns=("setting", "value", "default", "stated in"),
        rows=tuple(rows[:MOST_ROWS]),
        caption=f"{len(rows) - MOST_ROWS:,} more in config.resolved.json." if len(rows) > MOST_ROWS else "",
    )


def _all(config: dict[str, Any]) -> Table:
    usual = defaults()
    rows = [
        (Cell(text=one_line(f"{name}.{key}", 80), mono=True), Cell(text=setting(value), mono=True))
        for name, values in _sections(config)
        for key, value in values.items()
        if key in usual.get(name, {}) and _same(value, usual[name][key])
    ]
    half = (len(rows) + 1) // 2
    blank = (Cell(text=""), Cell(text=""))
    right = [*rows[half:], *[blank] * (half - len(rows[half:]))]
    return Table(
        title="Left at the default",
        columns=("setting", "value", "setting", "value"),
        rows=tuple((*a, *b) for a, b in zip(rows[:half], right, strict=True)),
    )


def _same(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        default = list(default)
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def _place(where: str) -> str:
    """The file's name with line and column; the folder is the same for all of them."""
    return one_line(where.rsplit("/", 1)[-1], 60)


def environment(story: Story) -> Section:
    """The chapter on program, libraries, machine and artefacts."""
    view = story.view
    last = story.attempts[-1] if story.attempts else None
    rows: list[tuple[str, str]] = [("Run", one_line(view.identity.run_id, 40) or "unknown")]
    if story.beside.tracker_id:
        rows.append(("W&B run", story.beside.tracker_id))
    versions = dict(last.versions) if last else {}
    recorded = story.beside.model_info.get("versions")
    if not versions and isinstance(recorded, dict):
        versions = {str(name): str(value) for name, value in recorded.items()}
    if versions:
        told = ", ".join(f"{one_line(name, 30)} {one_line(value, 30)}" for name, value in versions.items())
        rows.append(("Versions", told))
    elif last is not None:
        rows.append(("Version", f"stint {one_line(last.version, 30)}"))
    if last is not None:
        rows.append(("Host", one_line(last.host, 60)))
    if model := view.model:
        part = model.trainable_params / model.params if model.params else None
        rows += [
            ("Base model", one_line(model.base_model, 160)),
            ("Architecture", f"{one_line(model.architecture, 60)}, {count(model.layers)} layers"),
            (
                "Parameters",
                f"{count(model.params)}, of which {count(model.trainable_params)} trained ({share(part, 3)})",
            ),
            ("Experts", f"{model.experts}, {model.top_k} act on a token" if model.experts > 1 else "none"),
            ("Device", f"{one_line(model.device, 60)}, {one_line(model.dtype, 20)}"),
        ]
    if story.gpu_name:
        rows.append(("GPU", story.gpu_name))
    if view.host is not None:
        rows.append(("Memory of the host", size(view.host.memory_total)))
        rows.append(("Free disk at the end", size(view.host.disk_free)))
    rows.append(("Model at the root", "published" if story.beside.published else "not published"))
    blocks: list[Block] = [Pairs(rows=tuple(rows))]
    if view.checkpoints:
        blocks.append(_checkpoints(story))
    return Section(id="environment", title="Environment and artefacts", blocks=tuple(blocks))


def _checkpoints(story: Story) -> Table:
    rows = tuple(
        (
            Cell(text=one_line(each.path, 60), mono=True),
            Cell(text=count(each.step)),
            Cell(text=each.cause.value),
            Cell(text=loss(each.eval_loss)),
            Cell(text=size(each.bytes)),
            Cell(text=instant(each.wall)),
            Cell(text="best" if each.best else "", tone="good" if each.best else ""),
        )
        for each in story.view.checkpoints[-30:]
    )
    written = story.tallies.checkpoints
    return Table(
        title="Checkpoints on disk",
        columns=("name", "step", "cause", "validation loss", "size", "written", ""),
        rows=rows,
        right=(1, 3, 4),
        caption=f"{count(written)} were written in all; retention removed the others." if written > len(rows) else "",
    )
