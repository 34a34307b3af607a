"""The whole configuration: four sections, one per file, and where each value was stated."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from configs.moe import MoeConfig
from configs.safety import SafetyConfig
from configs.section import Section
from configs.training import TrainingConfig
from configs.wandb import WandbConfig

__all__ = ["FILES", "SECTIONS", "Config", "MoeConfig", "SafetyConfig", "TrainingConfig", "WandbConfig"]

SECTIONS: Final[dict[str, type[Section]]] = {
    "training": TrainingConfig,
    "moe": MoeConfig,
    "safety": SafetyConfig,
    "wandb": WandbConfig,
}
FILES: Final = {
    "training": "training_config.json",
    "moe": "moe_training_config.json",
    "safety": "safety_config.json",
    "wandb": "wandb_config.json",
}
FOR_EDITORS: Final = "$schema"
"""Editors look for this key at the top of a JSON file; it configures nothing."""

DEFAULT: Final = "default"
"""Where a value was stated that nobody stated."""


class Config(Section):
    """Everything a person has settled about a run. Paths are absolute."""

    training: TrainingConfig
    moe: MoeConfig
    safety: SafetyConfig
    wandb: WandbConfig
    source: dict[str, str] = Field(default_factory=dict)
    """`section.key` -> where it was stated: `file:line:col`, a flag, an environment variable. Defaults are absent."""

    def origin(self, key: str) -> str:
        """Where `section.key` was stated, `default` if nowhere."""
        return self.source.get(key, DEFAULT)

    def is_stated(self, key: str) -> bool:
        """Whether a person stated `section.key`; a plan adjusts what was left to it first."""
        return key in self.source

    @property
    def window_hours(self) -> float | None:
        """Hours from the first start to the end of everything; None when no limit applies."""
        return self.training.max_training_hours if self.safety.enable_time_constraints else None
