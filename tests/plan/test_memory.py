"""Memory by arithmetic: the bytes that layers really keep, the figures of the profiles, and what is done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configs.profiles import PROFILES
from configs.schema import MoeConfig
from engine.model.accounting import parameter_counts
from engine.model.recompute import enable_recompute
from engine.plan.memory import LEAST_BIN, USABLE, does_not_fit, fit_memory, kept_bytes, memory_of
from engine.plan.shape import REFERENCE, BaseShape, shape_of, trainable
from tests.model.test_fast_memory import (
    HEADS,
    HIDDEN,
    INNER,
    KEY_HEADS,
    LAYERS,
    RANK,
    WIDTH,
    fast_bytes,
    model,
    packed_bin,
)

SMALL = BaseShape(
    params=1, layers=LAYERS, hidden=HIDDEN, inner=INNER, heads=HEADS, key_heads=KEY_HEADS, width=WIDTH, vocabulary=300
)
KINDS = [({}, {}), ({"experts": "private"}, {"expert_mode": "private"}), ({"mode": "lora"}, {"adapter_mode": "lora"})]
GB = 1_000_000_000


def card(gb: float, **changes: object):
    asked = {
        "device": "cuda",
        "item": 2,
        "bin_tokens": 8192,
        "recompute": False,
        "longest": 2048,
        "limit": int(gb * GB),
    }
    return fit_memory(REFERENCE, MoeConfig(), **{**asked, **changes})


@pytest.mark.parametrize(("spec", "moe"), KINDS, ids=str)
def test_what_a_plan_counts_is_what_a_model_keeps_to_the_byte(spec, moe):
    adapted, packed = model(**spec), packed_bin()
    config = MoeConfig(lora_rank=RANK, **moe)
    assert trainable(SMALL, config) == parameter_counts(adapted).trainable
    sizes = {"tokens": 100, "rows": packed.targets, "item": 4}
    assert kept_bytes(SMALL, config, recompute=False, **sizes) == fast_bytes(adapted, packed)
    enable_recompute(adapted)
    assert kept_bytes(SMALL, config, recompute=True, **sizes) == fast_bytes(adapted, packed)


def test_the_12b_base_has_the_number_of_trained_parameters_that_the_document_states():
    assert trainable(REFERENCE, MoeConfig()) == 122_716_160


@pytest.mark.parametrize("name", ["balanced", "memory_efficient"])
def test_the_profiles_state_the_same_memory(name):
    profile = PROFILES[name]
    found = memory_of(
        REFERENCE,
        MoeConfig(),
        device="cuda",
        item=2,
        bin_tokens=profile.bin_tokens,
        recompute=profile.gradient_checkpointing,
        limit=None,
    )
    assert found.total / GB == pytest.approx(profile.memory_gb, rel=0.05)
    assert found.parts["weights"] / GB == pytest.approx(24.5, abs=0.05)
    trained = sum(found.parts[part] for part in ("adapters", "gradients", "optimizer"))
    assert trained == 16 * 122_716_160


def test_an_80_gb_card_holds_the_bins_that_were_worked_out_for_it():
    """field figures: 96 KiB a token and layer, 13.6 thousand tokens beside four experts on 85.5 GB."""
    a_token = kept_bytes(REFERENCE, MoeConfig(), tokens=1, rows=1, item=2, recompute=False) / REFERENCE.layers
    assert 96 < a_token / 1024 < 97.5

    def total(tokens: int) -> float:
        asked = {"device": "cuda", "item": 2, "recompute": False, "limit": None}
        return memory_of(REFERENCE, MoeConfig(), bin_tokens=tokens, **asked).total / GB

    assert total(13_600) < 85.5 < total(14_400)


def test_a_smaller_card_gets_smaller_bins_first_and_recomputes_only_when_it_must():
    chosen = {gb: card(gb)[0] for gb in (80, 48, 40, 32)}
    assert [(each.bin_tokens, each.recompute) for each in chosen.values()] == [
        (8192, False),
        (4096, False),
        (2048, False),
        (2048, True),
    ]
    assert all(each.fits and each.total <= USABLE * gb * GB for gb, each in chosen.items())
    assert card(80)[1] == ()
    (said,) = card(32)[1]
    assert said.startswith("Bins of 2,048 tokens instead of 8,192, and activations are recomputed")
    assert "62.0 GB would not fit in the memory of 32.0 GB; this takes 29.9 GB" in said


def test_no_bin_is_smaller_than_the_longest_example():
    assert card(52, longest=5000)[0].bin_tokens == 5000
    assert card(30, longest=8192)[0].bin_tokens == 8192
    assert card(32, longest=100)[0].bin_tokens >= LEAST_BIN


def test_a_card_that_cannot_hold_the_weights_is_refused_with_one_that_could():
    memory, said = card(24)
    assert not memory.fits
    assert said == (), "nothing is changed for nothing"
    sentence = does_not_fit(memory)
    assert sentence is not None
    assert "24.5 GB of it the weights" in sentence
    assert "a card with 31.4 GB" in sentence
    assert card(31.5)[0].fits
    assert does_not_fit(card(80)[0]) is None


def test_a_base_is_known_by_its_files_and_judged_by_its_name(tiny_base):
    small = shape_of(tiny_base)
    assert small.known
    assert (small.layers, small.hidden, small.inner, small.width) == (2, 48, 96, 16)
    assert shape_of("LatitudeGames/Wayfarer-2-12B") == REFERENCE
    half = shape_of("someone/a-6B")
    assert not half.known
    assert half.params == 6 * GB
    assert half.layers < REFERENCE.layers
    assert half.hidden < REFERENCE.hidden


def test_a_config_that_says_nothing_leaves_the_judgement_by_name(tmp_path):
    folder = tmp_path / "model-12B"
    folder.mkdir()
    for text in ("", "[]", '{"hidden_size": 0, "num_attention_heads": 0}', '{"hidden_size": "x"}'):
        (folder / "config.json").write_text(text)
        assert shape_of(folder) == REFERENCE


def test_without_a_known_limit_everything_fits():
    memory = replace(card(80)[0], limit=None)
    assert memory.fits
    assert does_not_fit(memory) is None
