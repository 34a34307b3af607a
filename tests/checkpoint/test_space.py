"""Whether the checkpoints will fit is known before anything is trained."""

from __future__ import annotations

from engine.checkpoint.space import checkpoint_bytes, free_bytes, free_bytes_needed, shortage
from states.wording import size


def test_the_12b_preset_needs_about_16_gb():
    one = checkpoint_bytes(122_716_160)
    assert size(one) == "2.0 GB"
    assert size(free_bytes_needed(one, 5)) == "16.2 GB"


def test_what_is_there_already_is_given_credit_but_one_must_always_fit():
    assert free_bytes_needed(1000, 5, existing_bytes=3000) == free_bytes_needed(1000, 5) - 3000
    assert free_bytes_needed(1000, 5, existing_bytes=10**9) == 1000


def test_a_shortage_says_how_much_and_what_to_do(tmp_path):
    place = tmp_path / "not" / "there" / "yet"
    assert shortage(place, 1) is None
    sentence = shortage(place, free_bytes(place) * 2)
    assert sentence is not None
    assert "save_total_limit" in sentence
    assert str(place) in sentence
