"""Rules about the mixture: one expert that takes everything, one that is dead, usage without or with no use."""

from __future__ import annotations

import math

from engine.report.document import Advice
from engine.report.facts import Story
from engine.report.rules.reading import scaled
from engine.report.words import share
from states.alarms import Limits
from states.mixture import Experts


def dominant(story: Story) -> Advice | None:
    """One expert carries most of the tokens."""
    sample, limits = _sample(story)
    if sample is None or limits is None or max(sample.shares) <= limits.dominant:
        return None
    most = max(sample.shares)
    return Advice(
        rule="expert-dominant",
        tone="bad",
        title="One expert takes most of the tokens",
        evidence=f"Expert {sample.shares.index(most)} takes {share(most)}, over all layers (limit "
        f"{share(limits.dominant, 0)}).",
        value=most,
        limit=limits.dominant,
        advice="Raise the weight of the balance loss, and look whether one domain has most of the data.",
        changes=scaled(story, "moe.load_balancing_weight", 5.0),
    )


def dead(story: Story) -> Advice | None:
    """One expert gets next to nothing in some layer."""
    sample, limits = _sample(story)
    if sample is None or limits is None or sample.weakest.share >= limits.starved:
        return None
    weak = sample.weakest
    return Advice(
        rule="expert-dead",
        tone="warn",
        title="An expert is all but dead",
        evidence=f"Expert {weak.expert} takes {share(weak.share)} of layer {weak.layer} (limit "
        f"{share(limits.starved, 0)}).",
        value=weak.share,
        limit=limits.starved,
        advice="It hardly trains: raise the weight of the balance loss, or use fewer experts.",
        changes=scaled(story, "moe.load_balancing_weight", 3.0),
    )


def unbalanced(story: Story) -> Advice | None:
    """Outside 20 to 30% of four experts: a fifth of an even share to either side."""
    sample, limits = _sample(story)
    if sample is None or limits is None:
        return None
    even = 1 / len(sample.shares)
    off = max(sample.shares, key=lambda each: abs(each - even))
    if abs(off - even) <= 0.2 * even or max(sample.shares) > limits.dominant:
        return None
    low, high = 0.8 * even, 1.2 * even
    return Advice(
        rule="expert-balance",
        tone="warn",
        title="The experts are not used evenly",
        evidence=f"Expert {sample.shares.index(off)} takes {share(off)}; wanted are {share(low, 0)} to "
        f"{share(high, 0)} each.",
        value=off,
        limit=high if off > even else low,
        advice="Raise the weight of the balance loss or lower the routers' learning rate; more varied conversations "
        "and an even spread over domains do it too.",
        changes=(
            *scaled(story, "moe.load_balancing_weight", 2.0),
            *scaled(story, "training.router_learning_rate", 0.5),
        ),
    )


def low_entropy(story: Story) -> Advice | None:
    """The routing collapses: the document wants more than 1.0 nats of four experts, and alarms below 0.5."""
    sample, limits = _sample(story)
    if sample is None or limits is None:
        return None
    wanted = math.log(len(sample.shares)) / math.log(4)
    if sample.entropy >= wanted:
        return None
    return Advice(
        rule="routing-entropy",
        tone="bad" if sample.entropy < limits.collapse else "warn",
        title="The routing entropy is low",
        evidence=f"{sample.entropy:.3f} nats, wanted above {wanted:.2f} ({math.log(len(sample.shares)):.2f} is even).",
        value=sample.entropy,
        limit=wanted,
        advice="The mixture turns into one adapter: lower the routers' learning rate and raise the balance loss.",
        changes=(
            *scaled(story, "moe.load_balancing_weight", 5.0),
            *scaled(story, "training.router_learning_rate", 0.5),
        ),
    )


def routing_idle(story: Story) -> Advice | None:
    """Routing that is worth no more than an average of the experts."""
    found = story.view.examination
    if found is None or found.gap is None or found.gap > 0:
        return None
    return Advice(
        rule="routing-idle",
        tone="info",
        title="Routing is worth nothing yet",
        evidence=f"It costs {-found.gap:.4f} nats a token against the uniform average of the experts; it would be of "
        "use if it saved any.",
        value=found.gap,
        limit=0.0,
        advice="Plain LoRA does as well here at less cost; experts need more, and more different, data.",
        changes=(),
    )


def no_specialisation(story: Story) -> Advice | None:
    """Domains that the routers do not tell apart."""
    found = story.view.examination
    if found is None or found.mutual_information is None or found.permuted_p99 is None:
        return None
    if found.mutual_information > found.permuted_p99:
        return None
    return Advice(
        rule="no-specialisation",
        tone="info",
        title="Experts do not specialise by domain",
        evidence=f"Domain and expert share {found.mutual_information:.4f} nats, no more than chance gives "
        f"({found.permuted_p99:.4f} in 99 of 100 permutations).",
        value=found.mutual_information,
        limit=found.permuted_p99,
        advice="Common on small data with similar domains, and no defect in itself; a lower balance weight lets "
        "experts drift apart where the usage stays even.",
        changes=scaled(story, "moe.load_balancing_weight", 0.5) if _even(story) else (),
    )


RULES = (dominant, dead, unbalanced, low_entropy, routing_idle, no_specialisation)


def _even(story: Story) -> bool:
    """Whether no rule about usage asks for a stronger balance."""
    return not any(rule(story) for rule in (dominant, dead, unbalanced, low_entropy))


def _sample(story: Story) -> tuple[Experts | None, Limits | None]:
    sample = story.view.eval_experts or story.view.experts
    if sample is None or len(sample.shares) < 2:
        return None, None
    return sample, Limits(num_experts=len(sample.shares))
