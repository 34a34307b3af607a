"""An export: each artefact in a folder of its own, with tokenizer, card and what it loses against the routed model.

It is staged and renamed, so that a folder that is there is whole. What it says about itself is in `export.json` and,
for each artefact, in its card and `model_info.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors.torch import save_file

from configs.errors import UsageError
from engine.data.example import Example
from engine.model.adapters import Adapted
from engine.model.export import CONFIG, STANDARD, adapter_writers, peft_config
from engine.model.static import static_tensors
from engine.quality.findings import Evaluation
from engine.quality.gated import GatedLoss
from engine.release.card import model_card
from engine.release.forms import LOADER, Artefact, Form, artefacts
from engine.release.measuring import Gaps, domain_gates, measure, plain_loss
from engine.release.merging import merge, write_model
from engine.release.staging import staged
from engine.release.telling import facts, what
from engine.run.rundir import write_json

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A loaded model with what is known of it."""

    adapted: Adapted
    tokenizer: Any
    info: Mapping[str, Any]
    """model_info.json; empty where there is none."""
    base_name: str
    """What the adapters' configuration names as their base."""
    chat_template: str | None
    """Digest of the template it was trained with."""
    evaluation: Evaluation | None = None
    title: str = "model"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Validation conversations to measure on."""

    examples: Sequence[Example]
    domains: tuple[str, ...]
    bin_tokens: int


def export(
    trained: Trained,
    target: Path,
    forms: tuple[Form, ...],
    *,
    held: Held | None,
    merge_domain: str | None = None,
    license_id: str | None = None,
    progressed: Progress = lambda task, done, total: None,
) -> list[dict[str, Any]]:
    """Write the artefacts into `target`, which must not exist; returns what `export.json` lists.

    Args:
        trained: the model; a merge uses it up.
        target: the folder to make.
        forms: what to write.
        held: what to measure gaps on and take domain gates from; without it neither is possible.
        merge_domain: merge at this domain's mean gates instead of the average.
        license_id: for the cards' metadata.
        progressed: hears task, done, total.

    Raises:
        UsageError: the target exists or cannot be written, or a form needs what is not there.
    """
    if target.exists():
        raise UsageError(f"{target} exists. An export is never mixed with other files: name a folder that does not.")
    spec = trained.adapted.spec
    gates: dict[str, torch.Tensor] = {}
    if held is not None and spec.routed:
        gates = domain_gates(trained.adapted, held.examples, held.domains, held.bin_tokens)
    _possible(forms, merge_domain, gates, held, routed=spec.routed)
    gaps = None
    if held is not None and spec.routed:
        gaps = measure(
            trained.adapted,
            held.examples,
            held.domains,
            held.bin_tokens,
            gates,
            lambda done, total: progressed("measure", done, total),
        )
    with staged(target) as staging:
        listed = []
        # The merge last: it changes the weights that all others are read from.
        wanted = artefacts(forms, tuple(gates), merge_domain, routed=spec.routed)
        for done, artefact in enumerate(sorted(wanted, key=lambda each: each.form is Form.MERGED)):
            progressed(artefact.folder, done, len(wanted))
            listed.append(_write(trained, staging / artefact.folder, artefact, gates, gaps, held, license_id))
        progressed("export", len(wanted), len(wanted))
        write_json(staging / "export.json", {"schema": 1, "artefacts": listed})
    return listed


def _possible(
    forms: tuple[Form, ...],
    merge_domain: str | None,
    gates: Mapping[str, torch.Tensor],
    held: Held | None,
    *,
    routed: bool,
) -> None:
    if merge_domain is not None and merge_domain not in gates:
        there = ", ".join(gates) or "none, as there is no validation data with domains or no expert"
        raise UsageError(f"There is no domain {merge_domain!r} to merge at. Domains of this run: {there}.")
    if Form.DOMAINS in forms and routed and not gates and held is None:
        raise UsageError(
            "An adapter for each domain needs the validation data, for its mean gates, and --no-measure leaves that "
            "unread. Leave --no-measure out, or `--form domains`."
        )


def _write(
    trained: Trained,
    folder: Path,
    artefact: Artefact,
    gates: Mapping[str, torch.Tensor],
    gaps: Gaps | None,
    held: Held | None,
    license_id: str | None,
) -> dict[str, Any]:
    folder.mkdir()
    adapted, spec = trained.adapted, trained.adapted.spec
    loss: GatedLoss | None = None
    if gaps is not None:
        static = gaps.fixed[artefact.domain] if artefact.domain is not None else gaps.average
        loss = gaps.routed if artefact.active else static
    elif held is not None and not spec.routed and artefact.form is not Form.MERGED:
        loss = plain_loss(adapted, held.examples, held.domains, held.bin_tokens)
    if artefact.form is Form.MERGED:
        uniform = torch.full((len(adapted.layers), spec.num_experts), 1.0 / spec.num_experts)
        table = gates[artefact.domain] if artefact.domain is not None else uniform
        merge(adapted, table if spec.routed else None)
        write_model(adapted, folder)
        if held is not None:
            # Not the static gates' loss: rounding the merged weights to the base's precision costs something too.
            loss = plain_loss(adapted, held.examples, held.domains, held.bin_tokens)
    elif artefact.domain is not None:
        (folder / CONFIG).write_bytes(orjson.dumps(peft_config(spec, trained.base_name), option=orjson.OPT_INDENT_2))
        metadata = {"format": "pt", "routing": "inactive: experts at one domain's mean gates"}
        save_file(static_tensors(adapted, gates[artefact.domain]), folder / STANDARD, metadata=metadata)
    else:
        writers = adapter_writers(adapted, trained.base_name, chat_template=trained.chat_template)
        for name in writers if artefact.active else (CONFIG, STANDARD):
            writers[name](folder / name)
    if artefact.active:
        shutil.copyfile(Path(__file__).with_name("standalone") / LOADER, folder / LOADER)
    trained.tokenizer.save_pretrained(folder)
    told = facts(artefact, loss, gaps, routed=spec.routed)
    info = {**trained.info, "artefact": told}
    write_json(folder / "model_info.json", info)
    card = model_card(
        info,
        title=trained.title,
        what=what(artefact, told, gaps),
        usage=artefact.usage,
        library=artefact.library,
        license_id=license_id,
        # What was evaluated is the model as trained; another form of it was not.
        evaluation=trained.evaluation if artefact.active or not spec.routed else None,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return {"folder": artefact.folder, **told}
