"""A small language for phrases, so that what a rule looks for is data that anyone can read and check.

`(a|b c)` is one of these, `[a|b]` the same or nothing, `..` up to four words, `#` a number, and `kill*` any word that
begins so. Text is brought to plain lower-case words first: curly quotes, accents of width, contractions and zero-width
characters make no difference. There are no other operators, so a phrase from a stranger's file cannot run away.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

MAX_CHARS: Final = 20_000
"""Of a reply: what stands after is not read. A reply of the checks has a few hundred."""

GAP_WORDS: Final = 4
MAX_WAYS: Final = 2000
"""In which a phrase may be tried at one place; the program's own have 64 at most."""

_QUOTES: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u00b4": "'", "`": "'", "&": " and ", "\u2014": " , "}
)
_HIDDEN: Final = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_CONTRACTIONS: Final = (
    (re.compile(r"\b(?:cannot|can't|cant)\b"), "can not"),
    (re.compile(r"\b(?:won't|wont)\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|have|has|had|would|should|could|must|need)n'?t\b"), r"\1 not"),
    (re.compile(r"\bain't\b"), "is not"),
    (re.compile(r"\b(?:i'm|im)\b"), "i am"),
    (re.compile(r"\b(you|we|they)'re\b"), r"\1 are"),
    (re.compile(r"\b(i|you|we|they)'ve\b"), r"\1 have"),
    (re.compile(r"\b(i|you|he|she|it|we|they|that)'ll\b"), r"\1 will"),
    (re.compile(r"\b(i|you|he|she|we|they)'d\b"), r"\1 would"),
    (re.compile(r"\b(he|she|it|that|there|what|who|where|how|here)'s\b"), r"\1 is"),
    (re.compile(r"\blet's\b"), "let us"),
)
_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?]+|\n|$)")
_WORD: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|[,;:()]|\d+")
_INVERTED: Final = re.compile(
    r"(?:^| ,) (?:are|is|do|does|did|have|has|can|could|will|would|were|was)"
    r" (?:you|he|she|they|it|there|anyone|someone|anybody|somebody) "
)
"""A question whose mark was forgotten: a clause that begins as questions do in English."""

_BREAKS: Final = frozenset(",;:()")
_ATOM: Final = re.compile(r"\.\.|\([^()\[\]]*\)|\[[^()\[\]]*\]|[^\s()\[\]]+")
_NUMBER: Final = r" \d[\d,]*"
_PLAIN_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W\d_]+)*\*?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence as words with single spaces, one before and one after; breaks within it are ` , `."""

    words: str
    question: bool


def sentences(text: str) -> list[Sentence]:
    """Read a text into sentences of plain words."""
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARS]).translate(_QUOTES)
    plain = _HIDDEN.sub("", plain).casefold()
    # "St. John" costs nothing, but "a.m." and "1.5 mg" would break a sentence in two.
    plain = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", plain)
    plain = re.sub(r"(?<=\d)\.(?=\d)", ",", plain)
    plain = re.sub(r" [-\u2013]+ ", " , ", plain)
    for pattern, replacement in _CONTRACTIONS:
        plain = pattern.sub(replacement, plain)
    found = []
    for match in _SENTENCE.finditer(plain):
        words = ["," if word in _BREAKS else word for word in _WORD.findall(match[0])]
        if any(word != "," for word in words):
            line = f" {' '.join(words)} "
            found.append(Sentence(words=line, question="?" in match[0][-4:] or _INVERTED.search(line) is not None))
    return found


def compile_phrase(phrase: str) -> re.Pattern[str]:
    """A pattern over `Sentence.words`; raises ValueError on what is no phrase."""
    atoms = _ATOM.findall(phrase)
    if not atoms or "".join(atoms).replace(" ", "") != "".join(phrase.split()):
        raise ValueError(f"not a phrase: {phrase!r}")
    if atoms[0] == ".." or atoms[-1] == ".." or all(atom.startswith("[") for atom in atoms):
        raise ValueError(f"a phrase begins and ends with a word: {phrase!r}")
    made = re.compile("".join(_atom(atom, phrase) for atom in atoms) + "(?= )")
    if math.prod(map(_ways, atoms)) > MAX_WAYS:
        raise ValueError(f"too many `..`, `[ ]` or like choices, so it could take for ever: {phrase!r}")
    return made


def _ways(atom: str) -> int:
    """In how many ways an atom may read the same words at most: what a search has to try one after the other."""
    if atom == "..":
        return GAP_WORDS + 1
    if atom[0] not in "([":
        return 1
    choices = [choice.casefold().split() for choice in atom[1:-1].split("|")]
    alike = max(sum(all(map(_alike, one, other)) for other in choices) for one in choices)
    return alike + (atom[0] == "[")


def _alike(one: str, other: str) -> bool:
    """Whether some word is both."""
    if one == "#" or other == "#":
        return one[0] in "#0123456789" and other[0] in "#0123456789"
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if other.endswith("*"):
        one, other = other, one
    return other.startswith(one[:-1]) if one.endswith("*") else one == other


def _atom(atom: str, phrase: str) -> str:
    if atom == "..":
        return rf"(?: [^ ]+){{0,{GAP_WORDS}}}?"
    if atom[0] in "([":
        choices = [_words(choice, phrase) for choice in atom[1:-1].split("|")]
        return f"(?:{'|'.join(choices)})" + ("?" if atom[0] == "[" else "")
    return _words(atom, phrase)


def _words(text: str, phrase: str) -> str:
    words = text.casefold().split()
    if not words or not all(word == "#" or _PLAIN_WORD.fullmatch(word) for word in words):
        raise ValueError(f"{text!r} is no word of a phrase: {phrase!r}")
    return "".join(_word(word) for word in words)


def _word(word: str) -> str:
    if word == "#":
        return _NUMBER
    return " " + re.escape(word.rstrip("*")) + ("[^ ,]*" if word.endswith("*") else "")
