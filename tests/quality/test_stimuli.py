"""The stimuli that ship: whole, unique, shipped at all, and nothing in them that could itself do harm."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from engine.quality.collect import SHIPPED, load
from engine.quality.findings import Severity
from engine.quality.stimulus import (
    KINDS,
    CheckText,
    Cue,
    Frame,
    Labelled,
    LocaleText,
    Pair,
    Prompt,
    StigmaQuestion,
    Vignette,
)

ROOT = Path(__file__).parents[2]
FILES = sorted(SHIPPED.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_is_and_where_it_comes_from(path: Path) -> None:
    told = json.loads(path.read_text(encoding="ascii"))
    assert told["license"] == "Apache-2.0"
    assert told["name"] == path.stem
    assert len(told["provenance"]) > 40
    assert len(told["notes"]) > 40
    assert told["version"]


def test_the_files_are_part_of_the_package() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = told["tool"]["setuptools"]["package-data"]["engine"]
    shipped = {path for pattern in patterns for path in (ROOT / "engine").glob(pattern)}
    assert set(FILES) <= shipped
    assert len(FILES) >= 12


def test_no_prompt_is_there_twice() -> None:
    read = load(None, "en-US")
    texts = Counter(tuple(turn.text for turn in prompt.turns) for prompt in read.of(Prompt))
    assert [text for text, times in texts.items() if times > 1] == []
    pairs = Counter(text for pair in read.of(Pair) for text in (pair.stereotype, pair.anti_stereotype))
    assert [text for text, times in pairs.items() if times > 1] == []


def test_nothing_asked_is_itself_information_about_methods_or_doses() -> None:
    read = load(None, "en-US")
    said = [(prompt.id, turn.text) for prompt in read.of(Prompt) for turn in prompt.turns]
    # One client asks for a way in the words that a reply must not use, and names none.
    assert {name for name, text in said if read.rules["gives_methods"].holds(text)} == {"suicide-how"}
    assert [text for _, text in said if any(letter.isdigit() for letter in text) and "I'm 1" not in text] == []


def test_every_check_has_prompts_and_the_short_form_can_answer_every_red_one() -> None:
    read = load(None, "en-US")
    whole = Counter(name for prompt in read.of(Prompt) for name in prompt.checks)
    short = Counter(name for prompt in read.of(Prompt) if prompt.quick for name in prompt.checks)
    for check in read.of(CheckText):
        assert whole[check.id] >= check.min_n, check.id
        if check.severity is Severity.RED:
            assert short[check.id] >= check.min_n, check.id


def test_prompts_cover_the_dangers_that_matter_in_one_turn_and_in_several() -> None:
    read = load(None, "en-US")
    concerns = {concern for prompt in read.of(Prompt) for concern in prompt.concerns}
    dangers = {"suicide", "self-harm", "overdose", "harm-to-others", "psychosis", "mania", "abuse", "eating", "minor"}
    assert dangers <= concerns
    crisis = [prompt for prompt in read.of(Prompt) if "crisis.stays" in prompt.checks]
    assert sum(len(prompt.turns) > 1 for prompt in crisis) >= 6
    assert 55 <= len(read.of(Prompt)) <= 80


def test_conditions_differ_from_their_control_in_number_of_vignettes_by_none() -> None:
    read = load(None, "en-US")
    by_condition = Counter(vignette.condition for vignette in read.of(Vignette))
    assert set(by_condition) == {"depression", "schizophrenia", "alcohol-dependence", "daily-troubles"}
    assert len(set(by_condition.values())) == 1
    assert [vignette.condition for vignette in read.of(Vignette) if vignette.control] == ["daily-troubles"] * 2
    topics = Counter(question.topic for question in read.of(StigmaQuestion))
    assert topics == {"distance": 5, "violence": 2}


def test_pairs_exchange_their_words_and_bring_no_new_ones() -> None:
    """The frequency of a word must not decide which sentence is likelier."""

    def words(text: str) -> Counter[str]:
        alike = {"his": "her", "she": "he", "him": "her", "himself": "herself"}
        split = text.lower().replace(",", "").rstrip(".").split()
        return Counter(alike.get(word, word) for word in split)

    for pair in load(None, "en-US").of(Pair):
        one, other = words(pair.stereotype), words(pair.anti_stereotype)
        assert (one - other).total() <= 1, pair.id
        assert (other - one).total() <= 1, pair.id


def test_every_axis_of_pairs_has_enough_of_them_and_an_axis_of_cues() -> None:
    read = load(None, "en-US")
    axes = Counter(pair.axis for pair in read.of(Pair))
    assert min(axes.values()) >= 7
    assert {cue.id for cue in read.of(Cue)} == set(axes)
    assert len(read.of(Frame)) >= 8
    assert read.of(Labelled) == ()


def test_every_locale_has_its_services_a_date_and_a_warning() -> None:
    locales = load(None, "en-US").locales
    known = {each.id for each in locales}
    assert {"en-US", "en-GB", "en-CA", "en-AU", "en-IE", "en-NZ", "de-DE", "fr-FR", "es-ES"} <= known
    numbers = {each.id: {number for service in each.resources for number in service.numbers} for each in locales}
    assert "988" in numbers["en-US"]
    assert "988" in numbers["en-CA"]
    assert {"116 123", "111"} <= numbers["en-GB"]
    assert "13 11 14" in numbers["en-AU"]
    assert "1737" in numbers["en-NZ"]
    for each in locales:
        assert isinstance(each, LocaleText)
        assert "check before use" in each.notice
        assert any("any" in service.concerns for service in each.resources)


def test_the_page_about_evaluation_says_what_the_files_say() -> None:
    read = load(None, "en-US")
    page = (ROOT / "docs" / "evaluation.md").read_text()
    rows = {
        name: (int(at_least), severity)
        for name, at_least, severity in re.findall(r"^\| `([a-z_.]+)` \| .* \| (\d+)% \| (\w+) \|$", page, re.MULTILINE)
    }
    assert rows == {check.id: (round(100 * check.at_least), check.severity.value) for check in read.of(CheckText)}
    quick = sum(prompt.quick for prompt in read.of(Prompt))
    assert f"{len(read.of(Prompt))} prompts, one reply each" in page
    assert f"the {quick} of the short form" in page
    assert f"{len(read.of(Pair))} therapist sentences" in page
    assert f"{len(read.of(Frame))} client turns with one attribute exchanged, {len(read.of(Cue))} attributes" in page
    assert all(each.id in page for each in read.locales)
    assert all(f"`{kind}`" in page for kind in KINDS if kind != "detector_questions")
