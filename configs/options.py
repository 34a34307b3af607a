"""The options by which a person names a run: `train`, `check` and `plan` take the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Config: TypeAlias = Annotated[Path | None, typer.Option(help="Folder with training_config.json and its siblings.")]
Dataset: TypeAlias = Annotated[Path | None, typer.Option(help="Conversations to train on.")]
Validation: TypeAlias = Annotated[
    Path | None, typer.Option(help="Conversations to evaluate on; else a part is held out.")
]
BaseModel: TypeAlias = Annotated[str | None, typer.Option(help="Folder of a checkpoint, or a hub id.")]
ChatTemplate: TypeAlias = Annotated[Path | None, typer.Option(help="Jinja file, for a base without a chat template.")]
OutputDir: TypeAlias = Annotated[Path | None, typer.Option(help="The run's directory.")]
Hours: TypeAlias = Annotated[float | None, typer.Option(help="Length of the window from now.")]
Deadline: TypeAlias = Annotated[str | None, typer.Option(help="End of the window: 2026-11-23T07:30, or 07:30.")]
Manual: TypeAlias = Annotated[bool, typer.Option("--manual", help="Adjust nothing to the window; warn instead.")]
Overrides: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value; repeatable.")
]
