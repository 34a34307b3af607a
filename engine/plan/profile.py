"""`optimization_priority` made effective: what nobody stated is taken from the chosen profile, and what was is kept."""

from __future__ import annotations

from configs.profiles import PROFILES
from configs.schema import Config

PROFILE_KEYS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "bin_tokens",
    "gradient_checkpointing",
)


def apply_profile(config: Config) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration under its profile, and a sentence for every stated value that the profile would change.

    Applied before anything reads the configuration. What a person stated in a file or on the command line wins.
    """
    training = config.training
    profile = PROFILES[training.optimization_priority]
    wanted = {key: getattr(profile, key) for key in PROFILE_KEYS}
    wanted["num_train_epochs"] = profile.epochs(training.num_train_epochs)
    taken: dict[str, object] = {}
    said: list[str] = []
    for key, value in wanted.items():
        present = getattr(training, key)
        if present == value:
            continue
        if not config.is_stated(f"training.{key}"):
            taken[key] = value
        elif key != "num_train_epochs":
            said.append(
                f"{key} stays {present}, as stated at {config.origin(f'training.{key}')}; the profile {profile.name} "
                f"would take {value}."
            )
    if taken.get("bin_tokens", training.bin_tokens) < taken.get("max_length", training.max_length):  # type: ignore[operator]
        taken["bin_tokens"] = taken.get("max_length", training.max_length)
    return config.model_copy(update={"training": training.model_copy(update=taken)}), tuple(said)
