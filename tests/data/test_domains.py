"""Which domain a conversation counts for: its own, or a group by wording that is said to be one and never changes."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from configs.checks import check
from configs.errors import ConfigError
from configs.load import demo_dir
from configs.schema import Config, MoeConfig, SafetyConfig, TrainingConfig, WandbConfig
from engine.data.clusters import clusters
from engine.data.conversation import Conversation
from engine.data.domains import assign
from engine.data.formats import read
from engine.data.prepare import read_sources

Talk = Callable[..., Conversation]
DEMO = read(demo_dir() / "conversations.json")
BARE = [replace(each, domain=None) for each in DEMO]
MOE = MoeConfig()


def agreement(one: list[Any], other: list[Any]) -> float:
    """Mutual information of two labellings over the mean of their entropies: 0 for chance, 1 for the same groups."""

    def entropy(labels: list[Any]) -> float:
        return -sum(count / len(labels) * math.log(count / len(labels)) for count in Counter(labels).values())

    joint = entropy(list(zip(one, other, strict=True)))
    return 2 * (entropy(one) + entropy(other) - joint) / (entropy(one) + entropy(other))


@pytest.mark.parametrize("seed", [42, 1, 2])
def test_groups_by_wording_come_near_the_domains_that_people_named(seed: int) -> None:
    groups = clusters(BARE, 4, seed)
    sizes = Counter(groups)
    assert sorted(sizes) == [0, 1, 2, 3]
    assert sizes[0] == max(sizes.values())
    assert min(sizes.values()) > len(BARE) / 8
    assert agreement(groups, [each.domain for each in DEMO]) > 0.6


def test_groups_do_not_depend_on_the_order_of_rows() -> None:
    order = Random(3).sample(range(len(BARE)), len(BARE))
    groups = clusters(BARE, 4, 42)
    assert clusters([BARE[index] for index in order], 4, 42) == [groups[index] for index in order]


def test_words_that_tell_nothing_apart_make_fewer_groups(talk: Talk) -> None:
    same = [talk("C: I cannot sleep at night.", f"T: {n}", row=n) for n in range(80)]
    assert set(clusters(same, 4, 42)) == {0}
    assert set(clusters([talk("C: 1 2 3", "T: a", row=n) for n in range(80)], 4, 42)) == {0}


def test_data_without_domains_is_grouped_and_said_to_be() -> None:
    assigned = assign(BARE[:380], BARE[380:], MOE, 42)
    assert assigned.made == ("cluster-1", "cluster-2", "cluster-3", "cluster-4")
    assert {each.domain for each in assigned.train} == set(assigned.made)
    assert [each.turns for each in (*assigned.train, *assigned.validation)] == [each.turns for each in BARE]
    [note] = assigned.notes
    assert note.startswith("No domain field: grouped into 4 by the client's wording: cluster-1 (")
    assert note.endswith("These are no labels of the data.")


def test_a_label_is_never_replaced_and_the_rest_takes_the_experts_left_over() -> None:
    names = sorted({str(each.domain) for each in DEMO})
    partly = [each if each.domain in names[:2] else replace(each, domain=None) for each in DEMO]
    assigned = assign(partly, [], MOE, 42)
    assert assigned.made == ("cluster-1", "cluster-2")
    for before, after in zip(partly, assigned.train, strict=True):
        assert after.domain == before.domain or (before.domain is None and after.domain in assigned.made)
    unlabelled = sum(each.domain is None for each in partly)
    assert assigned.notes[0].startswith(f"{unlabelled} of {len(DEMO)} conversations have no domain: grouped into 2")
    three = [each if each.domain != names[3] else replace(each, domain=None) for each in DEMO]
    assert assign(three, [], MOE, 42).train == tuple(three)


def test_a_name_that_the_data_has_is_not_taken_again() -> None:
    partly = [replace(each, domain="cluster-1") if row < 30 else each for row, each in enumerate(BARE)]
    assert assign(partly, [], MOE, 42).made == ("wording-cluster-1", "wording-cluster-2", "wording-cluster-3")


@pytest.mark.parametrize(
    ("moe", "count"),
    [({}, 40), ({"adapter_mode": "lora"}, 420), ({"domains": ("grief",)}, 420), ({"domain_source": "none"}, 420)],
)
def test_nothing_is_grouped_where_it_has_no_use(moe: dict[str, Any], count: int) -> None:
    assigned = assign(BARE[:count], [], MoeConfig(**moe), 42)
    assert (assigned.train, assigned.made, assigned.notes) == (tuple(BARE[:count]), (), ())


def test_the_datas_own_domains_can_be_left_aside() -> None:
    grouped = assign(DEMO, [], MoeConfig(domain_source="cluster"), 42)
    assert grouped.train == assign(BARE, [], MOE, 42).train
    assert "moe.domain_source is cluster; the data's own domains are left aside: grouped into 4" in grouped.notes[0]
    none = assign(DEMO, [], MoeConfig(domain_source="none"), 42)
    assert (none.train, none.made) == (tuple(BARE), ())
    assert "The 4 domains of the data are left aside" in none.notes[0]


def settings(dataset: Path, **moe: Any) -> Config:
    return Config(
        training=TrainingConfig(base_model="base", dataset=str(dataset)),
        moe=MoeConfig(**moe),
        safety=SafetyConfig(),
        wandb=WandbConfig(),
    )


def test_a_run_reads_grouped_data_with_its_note(tmp_path: Path) -> None:
    rows = json.loads((demo_dir() / "conversations.json").read_text())["conversations"]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps([{"text": row["text"]} for row in rows]))
    sources = read_sources(settings(path))
    assert sources.domains == sources.made == ("cluster-1", "cluster-2", "cluster-3", "cluster-4")
    assert any("No domain field: grouped into 4" in note for note in sources.notes)
    assert read_sources(settings(path, domain_source="none")).domains == ("general",)


def test_naming_domains_and_leaving_them_aside_contradict() -> None:
    with pytest.raises(ConfigError, match="domain_source is cluster, which leaves the data's own domains aside"):
        check(settings(Path("x"), domain_source="cluster", domains=("grief",)))
