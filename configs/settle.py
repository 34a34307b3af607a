"""Two values that more than one place may state: the window in hours, and whether W&B is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from configs.draft import Draft
from configs.errors import ConfigError
from configs.schema import FILES, WandbConfig

HOURS: Final = "max_training_hours"
_HOMES: Final = ("training", "safety")

_QUIETNESS: Final = {"online": 0, "offline": 1, "disabled": 2}
_OLDER_WORDS: Final = {"dryrun": "offline", "run": "online"}


def settle_hours(draft: Draft, hours: float | None, flag: str) -> None:
    """Give both sections the same window, or raise `ConfigError` naming the two places that disagree.

    The command line beats both files, and a window asked for there also switches the time limit on.
    """
    stated = {
        section: draft.where(section, (HOURS,)) for section in _HOMES if draft.data[section].get(HOURS) is not None
    }
    typed = {section: place for section, place in stated.items() if (section, HOURS) in draft.stated}
    if hours is not None:
        for section, place in typed.items():
            _must_agree(place, draft.data[section][HOURS], flag, hours)
        for section in _HOMES:
            draft.state(section, (HOURS,), hours, flag)
        if draft.data["safety"].get("enable_time_constraints") is False:
            draft.state("safety", ("enable_time_constraints",), True, flag)
        return
    deciding = list((typed or stated).items())
    if not deciding:
        return
    (section, place), *others = deciding
    value = draft.data[section][HOURS]
    for other, other_place in others:
        _must_agree(place, value, other_place, draft.data[other][HOURS])
    for home in _HOMES:
        if home not in dict(deciding):
            draft.state(home, (HOURS,), value, place)


def settle_wandb_mode(draft: Draft, environment: Mapping[str, str]) -> None:
    """Without a wandb_config.json nothing is sent anywhere; with one, WANDB_MODE may make it quieter, never louder."""
    if ("wandb", "mode") in draft.stated:
        return
    if "wandb" not in draft.documents:
        draft.state("wandb", ("mode",), "disabled", f"no {FILES['wandb']}")
        return
    asked = environment.get("WANDB_MODE", "").strip().lower()
    asked = _OLDER_WORDS.get(asked, asked)
    mode = draft.data["wandb"].get("mode", WandbConfig.model_fields["mode"].default)
    if isinstance(mode, str) and mode in _QUIETNESS and _QUIETNESS.get(asked, -1) > _QUIETNESS[mode]:
        draft.state("wandb", ("mode",), asked, "WANDB_MODE")


def _must_agree(place: str, value: object, other_place: str, other: object) -> None:
    """Refuse two different windows; what is no number is left to the type check, which says it better."""
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (value, other))
    if numbers and value != other:
        raise ConfigError(
            f"{place} gives {value:g} hours and {other_place} gives {other:g}. "
            f"Make {HOURS} the same in both, remove one, or decide with --hours."
        )
