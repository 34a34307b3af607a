"""Replies and likelihoods: with a cache as without, together as alone, trained as routed, bare as the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import ConfigError
from engine.data.conversation import Role, Turn
from engine.data.example import NO_TARGET
from engine.data.template import Renderer
from engine.model.adapters import Adapted
from engine.model.bare import without_adapters
from engine.model.load import load_base
from engine.model.routed import read_json
from engine.quality.decoding import decode
from engine.quality.sampling import Sampling
from engine.quality.scoring import score
from engine.quality.speaker import Interrupted
from engine.quality.speaking import ModelSpeaker

GREEDY = Sampling()
Opened = tuple[Adapted, Any]


def client(text: str) -> Turn:
    return Turn(role=Role.CLIENT, text=text)


CONTEXTS = [
    (client("I feel worry panic night"),),
    (client("I feel loss mother letter empty tears funeral memory miss number 7"),),
    (client("I feel tired"), Turn(role=Role.THERAPIST, text="It sounds like burnout."), client("I feel boss deadline")),
    (client("partner argue"),),
    (Turn(role=Role.THERAPIST, text="Welcome."), client("I feel calm")),
]


@pytest.fixture
def renderer(opened: Opened) -> Renderer:
    return Renderer(opened[1], 256)


@pytest.fixture
def speaker(opened: Opened, renderer: Renderer) -> Callable[..., ModelSpeaker]:
    def make(**choices: Any) -> ModelSpeaker:
        return ModelSpeaker(*opened, renderer, **choices)

    return make


@torch.no_grad()
def without_cache(adapted: Adapted, prompt: list[int], ends: frozenset[int], max_tokens: int) -> list[int]:
    """Greedy, everything read again for each token."""
    ids: list[int] = []
    while len(ids) < max_tokens:
        logits = adapted.model(torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, -1]
        token = int(logits.argmax())
        if token in ends:
            break
        ids.append(token)
    return ids


@pytest.mark.parametrize("bare", [False, True], ids=["trained", "base"])
def test_with_a_cache_every_token_is_the_one_without(opened: Opened, renderer: Renderer, bare: bool) -> None:
    adapted, _ = opened
    prompts = [renderer.prompt(turns) for turns in CONTEXTS]

    def both() -> tuple[list[Any], list[list[int]]]:
        made = decode(adapted, prompts, ends=renderer.ends, max_tokens=16, sampling=GREEDY)
        return made, [without_cache(adapted, prompt, renderer.ends, 16) for prompt in prompts]

    if bare:
        with without_adapters(adapted):
            made, expected = both()
    else:
        made, expected = both()
    assert [list(each.ids) for each in made] == expected
    assert sum(map(len, expected)) > 20, "there was something to compare"


@pytest.mark.parametrize(("temperature", "batch_tokens"), [(0.0, 60), (1.0, 60), (1.0, 4096)])
def test_together_they_are_as_alone(opened: Opened, renderer: Renderer, temperature: float, batch_tokens: int) -> None:
    prompts = [renderer.prompt(turns) for turns in CONTEXTS]
    sampling = Sampling(temperature=temperature, top_p=0.95)

    def made(some: list[list[int]], first: int, limit: int = 4096) -> list[Any]:
        return decode(
            opened[0], some, ends=renderer.ends, max_tokens=12, sampling=sampling, first=first, batch_tokens=limit
        )

    together = made(prompts, 0, batch_tokens)
    assert together == [made([prompt], number)[0] for number, prompt in enumerate(prompts)]
    assert len({each.ids for each in together}) > 1


def test_a_reply_says_how_it_ended_and_who_wrote_it(speaker: Callable[..., ModelSpeaker]) -> None:
    whole = speaker().replies(CONTEXTS, max_tokens=60)
    assert any(reply.ended for reply in whole), "the model learned to end its turns"
    for reply in whole:
        assert len(reply.shares) == 4
        assert sum(reply.shares) == pytest.approx(1.0)
    short = speaker().replies(CONTEXTS, max_tokens=2)
    assert all(reply.tokens == 2 and not reply.ended for reply in short)
    assert speaker(bare=True).replies(CONTEXTS[:1], max_tokens=3)[0].shares == ()


def test_shares_are_of_the_replys_tokens_alone(opened: Opened, renderer: Renderer) -> None:
    adapted, _ = opened
    prompts = [renderer.prompt(turns) for turns in CONTEXTS]
    made = decode(adapted, prompts, ends=renderer.ends, max_tokens=10, sampling=GREEDY)
    layers = adapted.routing.num_layers
    for each in made:
        # One assignment for each of the two chosen experts, layer, and token that was chosen, the end among them.
        assert sum(each.counts) == (len(each.ids) + each.ended) * layers * 2
    assert adapted.routing.sample_evaluation() is None


def test_the_bare_model_is_the_base_that_was_trained(opened: Opened, finished_run: Path) -> None:
    adapted, _ = opened
    folder = Path(read_json(finished_run / "adapter_config.json")["base_model_name_or_path"])
    base = load_base(folder, dtype=torch.float32, device=torch.device("cpu"))
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        trained = adapted.model(ids, use_cache=False).logits
        with without_adapters(adapted):
            bare = adapted.model(ids, use_cache=False).logits
        assert torch.allclose(bare, base(ids, use_cache=False).logits, atol=1e-6)
        assert torch.equal(adapted.model(ids, use_cache=False).logits, trained)
    assert not torch.allclose(bare, trained, atol=1e-3)


def test_a_score_is_the_sum_by_hand_over_the_reply_and_its_end(
    opened: Opened, renderer: Renderer, speaker: Callable[..., ModelSpeaker]
) -> None:
    adapted, _ = opened
    replies = ["It sounds like fear.", "Tell me more.", "I hear you", "What happened?", "Hm."]
    found = speaker().scores(CONTEXTS, replies)
    for turns, reply, one in zip(CONTEXTS, replies, found, strict=True):
        example = renderer.answer(turns, reply)
        with torch.no_grad():
            logits = adapted.model(torch.tensor([example.ids.tolist()]), use_cache=False).logits[0].log_softmax(-1)
        places = [place for place, label in enumerate(example.labels) if label != NO_TARGET]
        assert one.tokens == len(places)
        assert int(example.ids[places[-1]]) in renderer.ends
        assert one.nll == pytest.approx(-sum(float(logits[p - 1, example.ids[p]]) for p in places), abs=1e-3)


def test_only_the_last_reply_carries_loss(opened: Opened, renderer: Renderer) -> None:
    example = renderer.answer(CONTEXTS[2], "Tell me about the boss.")
    labelled = [int(each) for each in example.ids[example.labels != NO_TARGET]]
    assert opened[1].decode(labelled, skip_special_tokens=True).strip() == "Tell me about the boss."
    with pytest.raises(ValueError, match="empty"):
        renderer.answer(CONTEXTS[0], " ")
    with pytest.raises(ValueError, match="client turn"):
        renderer.answer((*CONTEXTS[0], Turn(role=Role.THERAPIST, text="Yes.")), "And?")


def test_the_oldest_turns_leave_a_context_that_is_too_long(opened: Opened) -> None:
    narrow = Renderer(opened[1], 64)
    long = []
    for number in range(12):
        long += [client(f"I feel worry number {number}"), Turn(role=Role.THERAPIST, text="It sounds like panic.")]
    example = narrow.answer((*long, client("I feel calm")), "Good.")
    assert example.tokens <= 64
    text = opened[1].decode(example.ids)
    assert "calm" in text
    assert "number 0" not in text


def test_bins_do_not_change_what_is_found(opened: Opened, renderer: Renderer) -> None:
    examples = [renderer.answer(turns, "It sounds like a heavy night.") for turns in CONTEXTS]
    one, all_ = (score(opened[0], examples, bin_tokens=size) for size in (1, 4096))
    assert torch.allclose(one.nll, all_.nll, atol=1e-4)
    assert torch.equal(one.targets, all_.targets)
    assert torch.equal(one.assignments, all_.assignments)


def test_it_stops_at_the_next_token_or_bin(opened: Opened, renderer: Renderer) -> None:
    heard: list[int] = []
    prompts = [renderer.prompt(CONTEXTS[0])]
    with pytest.raises(Interrupted):
        decode(
            opened[0],
            prompts,
            ends=frozenset(),
            max_tokens=50,
            sampling=GREEDY,
            stop=lambda: len(heard) == 3,
            heard=lambda _prompt, token: heard.append(token),
        )
    assert len(heard) == 3
    with pytest.raises(Interrupted):
        score(opened[0], [renderer.answer(CONTEXTS[0], "Yes.")], bin_tokens=64, stop=lambda: True)


def test_drawing_keeps_to_the_nucleus_and_to_the_largest() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def drawn(**choices: float) -> set[int]:
        sampling = Sampling(temperature=1.0, **choices)  # type: ignore[arg-type]
        generators = sampling.generators(range(300), seed=1)
        return {sampling.choose(logits, [each])[0] for each in generators}

    assert drawn() == {0, 1, 2, 3}
    assert drawn(top_p=0.7) == {0, 1}
    assert drawn(top_p=0.01) == {0}
    assert drawn(top_k=3) == {0, 1, 2}
    coldest = Sampling(temperature=1e-300)
    assert coldest.choose(logits * 1000, coldest.generators([0], seed=1)) == [0]
    with pytest.raises(ConfigError, match="not finite"):
        Sampling().choose(torch.tensor([[float("nan"), 0.0]]), [])
