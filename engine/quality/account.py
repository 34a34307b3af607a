"""What an artefact says of its experts: whether routing is active in it, and what was measured about them."""

from __future__ import annotations

from typing import Any

from engine.model.export import EXPERTS, STANDARD
from engine.model.spec import AdapterSpec
from states.events import ExpertsExamined
from states.text import one_line
from states.wording import number


def routing_info(spec: AdapterSpec, examined: ExpertsExamined | None) -> dict[str, Any]:
    """The part about routing of model_info.json; losses in nats per target token, `gap` = average - routed."""
    if not spec.routed:
        return {"active": False, "artefacts": {STANDARD: "the model: a plain LoRA without experts"}}
    info: dict[str, Any] = {
        "active": True,
        "num_experts": spec.num_experts,
        "top_k": spec.top_k,
        "expert_mode": spec.experts.value,
        "artefacts": {
            STANDARD: "routing inactive: the uniform average of the experts, for any PEFT user",
            EXPERTS: "routing active: all experts and routers, for engine.model.routed.load_routed",
        },
        "gap": None,
    }
    if examined is None:
        return info
    if examined.routed is not None and examined.average is not None:
        info["gap"] = examined.average - examined.routed
    return info | {
        "measured_on": {
            "conversations": examined.conversations,
            "of_conversations": examined.of_conversations,
            "targets": examined.targets,
        },
        "routed_loss": examined.routed,
        "average_loss": examined.average,
        "routed_loss_by_domain": examined.routed_domains,
        "average_loss_by_domain": examined.average_domains,
        "forced_loss": examined.forced,
        "forced_loss_by_domain": examined.forced_domains,
        "ablated_loss": examined.ablated,
        "ablated_loss_by_domain": examined.ablated_domains,
        "mutual_information": examined.mutual_information,
        "mutual_information_permuted_mean": examined.permuted_mean,
        "mutual_information_permuted_p99": examined.permuted_p99,
        "permutations": examined.permutations,
        "expert_similarity": examined.similarity,
    }


def routing_text(spec: AdapterSpec, examined: ExpertsExamined | None) -> str:
    """The model card's paragraphs about its two files, and the causal matrix where it was measured."""
    if not spec.routed:
        return f"`{STANDARD}` is a standard PEFT adapter; there is no routing."
    parts = [
        f"Routing is active in `{EXPERTS}` (all experts and routers): "
        "`from engine.model.routed import load_routed; model, tokenizer = load_routed(FOLDER)`. "
        f"`{STANDARD}` is a standard PEFT adapter with the uniform average of the experts; routing is not active in it."
    ]
    if examined is None or examined.routed is None or examined.average is None:
        return parts[0] + " What that costs was not measured."
    gap = examined.average - examined.routed
    parts.append(
        f"Measured on {examined.conversations:,} of {examined.of_conversations:,} validation conversations: loss "
        f"{number(examined.routed)} routed, {number(examined.average)} as the average; the gap is "
        f"{number(gap, '+.4f')} nats per token."
    )
    if examined.mutual_information is not None:
        found, chance = examined.mutual_information, examined.permuted_p99
        verdict = "more than" if chance is not None and found > chance else "no more than"
        parts.append(
            f"Experts follow the domains {verdict} chance would make them: mutual information {number(found)} nats, "
            f"99th percentile of {examined.permutations:,} permutations {number(chance)}."
        )
    if examined.forced_domains:
        parts.append(_matrix(examined))
    return "\n\n".join(parts)


def _matrix(examined: ExpertsExamined) -> str:
    """Loss by domain when every token goes to one expert, beside the routed and the average model's."""
    heads = ["routed", "average", *(f"expert {index} alone" for index in range(len(examined.forced)))]
    rows = [["loss by domain", *heads], ["---"] * (len(heads) + 1)]
    for name, forced in examined.forced_domains.items():
        losses = (examined.routed_domains.get(name), examined.average_domains.get(name), *forced)
        rows.append([_cell(name), *(number(loss) for loss in losses)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(name: str) -> str:
    """A domain's name inside a table of a page that others will render."""
    return "".join(f"&#{ord(letter)};" if letter in "\\`*_{}[]<>()#+!|&$~" else letter for letter in one_line(name, 60))
