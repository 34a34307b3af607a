"""What a file of stimuli may say, kind by kind: strict types, no unknown keys, bounded sizes, nothing that acts.

The files that come with the program and a person's own are held to the same.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from engine.data.conversation import Role, Turn
from engine.quality.findings import Severity

MAX_ITEMS = 2000
SCHEMA = 1

Id: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[._-][a-z0-9]+)*$", max_length=64)]
LocaleCode: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}-[A-Z]{2}$")]
Language: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, direction overrides, what no encoding has."""


def _plain(text: str) -> str:
    if not text.strip():
        raise ValueError("blank")
    if found := _ACTING.search(text):
        raise ValueError(f"a control character, U+{ord(found[0]):04X}, at character {found.start() + 1}")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must be one line")
    return _plain(text)


Text: TypeAlias = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_plain)]
"""Words for a model to read."""
Short: TypeAlias = Annotated[str, StringConstraints(max_length=200), AfterValidator(_one_line)]
Phrase: TypeAlias = Annotated[str, StringConstraints(max_length=800), AfterValidator(_one_line)]
"""In the language of `engine.quality.phrases`."""
Number: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9](?:[ -]?[0-9]){1,15}$")]
"""A telephone number as people write it."""


class Item(BaseModel):
    """One stimulus. A wrong type is an error, never a conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    id: Id


class Said(BaseModel):
    """One turn of a prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    role: Literal["client", "therapist"]
    text: Text


class Prompt(Item):
    """A client who says something, and the checks that the reply is held to."""

    concerns: tuple[Id, ...] = Field(strict=False, min_length=1, max_length=8)
    """The first is the row of the table; all decide which special resources count."""
    checks: tuple[Id, ...] = Field(strict=False, min_length=1, max_length=16)
    turns: tuple[Said, ...] = Field(strict=False, min_length=1, max_length=32)
    quick: bool = False
    """Also part of the short evaluation."""

    @property
    def context(self) -> list[Turn]:
        """What a speaker is asked to answer."""
        return [Turn(role=Role(turn.role), text=turn.text) for turn in self.turns]


class RuleText(Item):
    """A rule as phrases, with sentences that prove it."""

    title: Short
    phrases: tuple[Phrase, ...] = Field(strict=False, min_length=1, max_length=400)
    unless: tuple[Phrase, ...] = Field(default=(), strict=False, max_length=200)
    unless_before: tuple[Phrase, ...] = Field(default=(), strict=False, max_length=200)
    questions: bool | None = None
    yes: tuple[Text, ...] = Field(strict=False, min_length=2, max_length=100)
    no: tuple[Text, ...] = Field(strict=False, min_length=2, max_length=100)


class CheckText(Item):
    """A check: which rules a reply must meet, or must not, and how often."""

    title: Short
    section: Literal["crisis", "boundary"]
    rules: tuple[Id, ...] = Field(strict=False, min_length=1, max_length=8)
    """Met when any of these holds."""
    wanted: bool
    """True: a reply passes when it is met; False: when it is not."""
    unless: tuple[Id, ...] = Field(default=(), strict=False, max_length=8)
    """Where any of these holds as well, an unwanted rule is forgiven."""
    blank_fails: bool
    """A reply that says nothing: True, a failure; False, not counted."""
    at_least: float = Field(gt=0, le=1)
    min_n: int = Field(default=3, ge=1, le=1000)
    """With fewer counted replies there is no verdict."""
    severity: Severity = Field(strict=False)
    source: Short | Literal[""] = ""


class Limit(Item):
    """How far a measured difference may go before it is one to look at."""

    at_most: float = Field(ge=0)
    severity: Severity = Field(strict=False)


class Resource(BaseModel):
    """A service and how people name it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Short
    names: tuple[Phrase, ...] = Field(default=(), strict=False, max_length=16)
    """Phrases that count as naming it."""
    numbers: tuple[Number, ...] = Field(default=(), strict=False, max_length=16)
    concerns: tuple[Id, ...] = Field(default=("any",), strict=False, min_length=1, max_length=16)


class LocaleText(BaseModel):
    """Where people in danger turn to in one country."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    id: LocaleCode
    country: Short
    checked: Annotated[str, StringConstraints(pattern=r"^20\d\d-\d\d-\d\d$")]
    notice: Short
    emergency: tuple[Number, ...] = Field(strict=False, min_length=1, max_length=8)
    resources: tuple[Resource, ...] = Field(strict=False, min_length=1, max_length=64)


class Vignette(Item):
    """A person with a condition, or with daily troubles as the control."""

    condition: Id
    control: bool = False
    text: Text


class StigmaQuestion(Item):
    """A question with graded answers, from the most accepting to the least."""

    topic: Literal["distance", "violence"]
    text: Text
    options: tuple[Short, ...] = Field(strict=False, min_length=4, max_length=4)
    quick: bool = False


class Pair(Item):
    """Two therapist sentences that differ in who is meant."""

    axis: Id
    client: Text
    stereotype: Text
    anti_stereotype: Text


class Frame(Item):
    """A client's turn with `{cue}` in it, and a fixed reply that fits whoever speaks."""

    client: Annotated[Text, StringConstraints(pattern=r"^[^{}]*\{cue\}[^{}]*$")]
    reply: Text


class Cue(Item):
    """One attribute of a person and the words for its groups."""

    groups: dict[Id, Short] = Field(min_length=2, max_length=12)


class Labelled(Item):
    """A therapist's sentence that people judged."""

    text: Text
    biased: bool


class Question(Item):
    """How a model is asked to judge a sentence, with `{text}` in it and two answers."""

    text: Annotated[Text, StringConstraints(pattern=r"^[^{}]*\{text\}[^{}]*$")]
    biased: Short
    unbiased: Short


KINDS: dict[str, type[BaseModel]] = {
    "prompts": Prompt,
    "rules": RuleText,
    "checks": CheckText,
    "limits": Limit,
    "locales": LocaleText,
    "vignettes": Vignette,
    "stigma_questions": StigmaQuestion,
    "pairs": Pair,
    "frames": Frame,
    "cues": Cue,
    "labelled": Labelled,
    "detector_questions": Question,
}
REPLACEABLE = frozenset({"rules", "checks", "limits", "locales"})
"""Kinds of which a person's item takes the place of the one with its id that is there."""

WITHOUT_LANGUAGE = frozenset({"checks", "limits", "locales"})


class Header(BaseModel):
    """What every file says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    schema_: Literal[1] = Field(alias="schema")
    kind: Id
    name: Id
    version: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+){0,2}$")]
    language: Language | None = None
    license: Short
    provenance: Text
    notes: Text
