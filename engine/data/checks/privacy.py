"""Privacy: addresses, numbers and keys that a model could learn by heart and say to a stranger.

Warnings only, since a pattern proves nothing; what is shown of a match is masked beyond use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from engine.data.checks.finding import Finding, Kind, Severity
from engine.data.conversation import Conversation

_REMEDY: Final = "A trained model can repeat it; remove or replace it in the file."
EMAIL: Final = Kind(code="email", severity=Severity.WARNING, title="Turns with an e-mail address", remedy=_REMEDY)
PHONE: Final = Kind(code="phone", severity=Severity.WARNING, title="Turns with a telephone number", remedy=_REMEDY)
CARD: Final = Kind(code="card", severity=Severity.WARNING, title="Turns with a payment card number", remedy=_REMEDY)
KEY: Final = Kind(
    code="key",
    severity=Severity.WARNING,
    title="Turns with what looks like an access key",
    remedy="Revoke it where it was issued, and remove it from the file.",
)

_EMAIL: Final = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
# Digits with the separators people write between them; what kind of number it is, the digits tell.
_NUMBER: Final = re.compile(r"(?<![\w.,/:$#])[+(]{0,2}\d[\d ().-]{7,26}\d(?![\w/:%])")
_KEY: Final = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,})|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
)
_DIGITS: Final = re.compile(r"\d[\d ().-]{7}")
# Bytes of UTF-8 that are part of no digit: deleting them is much faster than looking for digits. Of what is not ASCII,
# no digit follows C2, C3 (Latin-1) or E2 (punctuation and symbols), which ordinary English has.
_NO_DIGIT: Final = bytes(({*range(0xC4)} - {*b"0123456789"}) | {0xE2})
# Toll-free numbers in North America are published, help lines above all.
_TOLL_FREE: Final = re.compile(r"1?8(?:00|33|44|55|66|77|88)\d{7}")


def privacy(conversation: Conversation) -> Iterator[Finding]:
    """Everything in one conversation that looks private."""
    for number, turn in enumerate(conversation.turns, start=1):
        for kind, masked in _private(turn.text):
            yield Finding(kind=kind, row=conversation.row, place=f"turn {number}", sentence=f"it looks like {masked}.")


def _private(text: str) -> Iterator[tuple[Kind, str]]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield EMAIL, f"{match[0][0]}***@***"
    # What is in each of the keys; written out, as a loop over six words costs more than looking for them.
    if "_" in text or "sk-" in text or "AKIA" in text or "AIza" in text or "xox" in text or "-----BEGIN" in text:
        for match in _KEY.finditer(text):
            yield KEY, f"{match[0][:3]}***"
    if not text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGIT) or not _DIGITS.search(text):
        return
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if 13 <= len(digits) <= 19 and _luhn(digits):
            yield CARD, f"****{digits[-2:]} ({len(digits)} digits)"
        elif _is_phone(match[0], digits):
            yield PHONE, f"***{digits[-2:]} ({len(digits)} digits)"


def _is_phone(written: str, digits: str) -> bool:
    """A number with a country code, or ten digits in groups; ranges of years and plain counts are not."""
    if _TOLL_FREE.fullmatch(digits):
        return False
    groups = re.findall(r"\d+", written)
    if written.startswith("+"):
        return 8 <= len(digits) <= 15
    if len(digits) == 11 and digits[0] == "1":
        groups = groups[1:] if groups[0] == "1" else groups
        digits = digits[1:]
    return len(digits) == 10 and ([len(group) for group in groups] == [3, 3, 4] or len(groups) == 1)


def _luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B); a number of one repeated digit is none."""
    if len(set(digits)) == 1:
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
