"""wandb_config.json: where a run is logged besides its own journal. It holds no credentials, ever."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from configs.section import Name, Section


class WandbConfig(Section):
    """Weights & Biases settings. Without the file nothing is sent anywhere."""

    project: Name = Field(default="stint", description="Project the run is filed under.")
    entity: Name | None = Field(default=None, description="User or team; null is the logged-in user's default.")
    name: Name | None = Field(default=None, description="Display name of the run; null lets W&B choose.")
    tags: tuple[Name, ...] = Field(default=(), strict=False, max_length=256, description="Labels to filter by.")
    notes: str | None = Field(default=None, max_length=65536, description="Free text shown with the run.")
    config: dict[str, JsonValue] = Field(default_factory=dict, description="Anything to record with the run; not read.")
    mode: Literal["online", "offline", "disabled"] = Field(
        default="online",
        description="offline keeps all on disk for `wandb sync`. WANDB_MODE may make this quieter, never louder.",
    )
