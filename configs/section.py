"""What the four configuration sections have in common: strict types, no unknown keys, no change after loading."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, StringConstraints


class Section(BaseModel):
    """One configuration file's content. A wrong type is an error, never a conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=NAME_PATTERN)]
"""A path, a model or a label: one line, not empty, no control characters."""
