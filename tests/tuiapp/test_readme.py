"""The README's key table says what the cockpit's one table of keys says."""

from __future__ import annotations

import re
from pathlib import Path

from tuiapp.keys import TABLE

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_table_names_every_key_of_the_live_footer_and_no_other():
    rows = [line for line in README.splitlines() if line.startswith("| `")]
    named = {
        key
        for line in rows
        for key in re.findall(r"\| `([^`]+)` \|", line)
        if not key.startswith("-") and len(key) <= 6
    }
    footer = {key.show for key in TABLE if key.live and key.footer}
    assert named == footer


def test_the_replay_sentence_names_keys_that_exist():
    sentence = README[README.index("In a replay:") : README.index("## What it does")]
    assert set(re.findall(r"`([^`]+)`", sentence)) <= {key.show for key in TABLE if key.replay}
