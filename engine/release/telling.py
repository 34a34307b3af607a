"""What an artefact says of itself: whether routing is active in it, and what that costs, if it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.quality.gated import GatedLoss
from engine.release.card import inert
from engine.release.forms import Artefact, Form
from engine.release.measuring import Gaps
from states.wording import number


def facts(artefact: Artefact, loss: GatedLoss | None, gaps: Gaps | None, *, routed: bool) -> dict[str, Any]:
    """The `artefact` part of model_info.json; losses in nats per target token, `gap` = its loss - the routed loss."""
    told: dict[str, Any] = {
        "form": artefact.form.value,
        "domain": artefact.domain,
        "routing_active": artefact.active,
        "routed_model": routed,
        "loss": loss.loss if loss else None,
        "loss_by_domain": dict(loss.domains) if loss else {},
        "gap": None,
        "gap_by_domain": {},
    }
    if loss is None or gaps is None:
        return told
    return told | {
        "gap": _less(loss.loss, gaps.routed.loss),
        "gap_by_domain": {name: _less(value, gaps.routed.domains.get(name)) for name, value in loss.domains.items()},
        "measured_on": {"conversations": gaps.conversations, "targets": gaps.targets},
    }


def _less(loss: float | None, routed: float | None) -> float | None:
    return None if loss is None or routed is None else loss - routed


def what(artefact: Artefact, told: Mapping[str, Any], gaps: Gaps | None) -> str:
    """The card's first paragraphs."""
    return f"{_kind(artefact, told)}\n\n{_gap(artefact, told, gaps)}".strip()


def _kind(artefact: Artefact, told: Mapping[str, Any]) -> str:
    if artefact.form is Form.MERGED:
        how = "" if not told["routed_model"] else " at their uniform average"
        if artefact.domain is not None:
            how = f" at the mean gates of the domain {inert(artefact.domain)}"
        return f"The base model with the trained adapters added into its weights{how}. **Routing is not active.**"
    if artefact.active:
        return "All experts and routers: **routing is active**, token by token, with the loader beside the weights."
    if artefact.domain is not None:
        return (
            f"A standard PEFT adapter: the experts at the mean gates of the domain {inert(artefact.domain)}, the same "
            "for every token. **Routing is not active.**"
        )
    if not told["routed_model"]:
        return "A standard PEFT adapter: a plain LoRA without experts."
    return "A standard PEFT adapter: the uniform average of the experts. **Routing is not active.**"


def _gap(artefact: Artefact, told: Mapping[str, Any], gaps: Gaps | None) -> str:
    if artefact.active or not told["routed_model"]:
        return "" if told["loss"] is None else f"Its validation loss is {number(told['loss'])} nats per token."
    if gaps is None or told["gap"] is None:
        return "What it loses against the routed model was not measured."
    text = (
        f"Measured on {gaps.conversations:,} validation conversations: loss {number(told['loss'])} against "
        f"{number(gaps.routed.loss)} of the routed model, a gap of {number(told['gap'], '+.4f')} nats per token."
    )
    own = told["gap_by_domain"].get(artefact.domain)
    return text if own is None else f"{text} On its own domain the gap is {number(own, '+.4f')}."
