"""`config check`, `config show`, `config schema`, and `init`: look at a configuration, or start one.

Light until one of them runs: `--help` and the commands of other rooms wait for no schema.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from configs.errors import UsageError
from states.text import clean

if TYPE_CHECKING:
    from configs.schema import Config

app = typer.Typer(no_args_is_help=True, help="Check, show and describe the configuration.")

_Directory = Annotated[
    str | None, typer.Argument(metavar="DIR", help="Directory or preset. Default: here, else the built-in demo.")
]
_Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one value; repeatable.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command()
def check(directory: _Directory = None, set_: _Set = None, json: _Json = False) -> None:
    """Read everything, say what is wrong and where, and mention what looks odd."""
    from configs.checks import advice
    from configs.document import shown
    from configs.identity import config_hash
    from configs.load import load

    where = _directory(directory)
    config = load(where, overrides=set_ or ())
    said = advice(config)
    if json:
        _print(
            {
                "directory": str(where.absolute()),
                "files": _files(where),
                "advice": list(said),
                "hash": config_hash(config),
            }
        )
        return
    for file, state in _files(where).items():
        _say(f"{file:26} {state}")
    training = config.training
    _say(
        f"{training.base_model} learns from {shown(Path(training.dataset))}: {training.num_train_epochs} epochs, "
        f"{training.conversations_per_step} conversations a step, {_window(config)}."
    )
    for sentence in said:
        _say(f"note: {sentence}")
    _say("The configuration is valid.")


@app.command()
def show(
    directory: _Directory = None,
    set_: _Set = None,
    json: _Json = False,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value was stated.")] = False,
) -> None:
    """Print every value as the run would use it."""
    from configs.identity import resolved
    from configs.load import load
    from configs.schema import FILES, SECTIONS
    from configs.suggest import keys

    config = load(_directory(directory), overrides=set_ or ())
    values = resolved(config)
    if json:
        _print({section: values[section] for section in SECTIONS} | ({"origin": _origins(config)} if origin else {}))
        return
    for section in SECTIONS:
        _say(FILES[section])
        rows = [(key, orjson.dumps(values[section][key]).decode()) for key in keys(section)]
        width = max(len(text) for _, text in rows)
        for key, text in rows:
            place = f"  {config.origin(f'{section}.{key}')}" if origin else ""
            _say(f"  {key:28} {text:{width if origin else 0}}{place}")


@app.command()
def schema(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="One of the four files. Default: all.")] = None,
) -> None:
    """Print the JSON Schema of one file, or of all four by file name: every key, its type, range and meaning."""
    from configs.schema import FILES, SECTIONS

    schemas = {FILES[section]: _schema(section) for section in SECTIONS}
    if file is None:
        _print(schemas)
        return
    name = FILES.get(file, Path(file).name)
    if name not in schemas:
        raise UsageError(f"`{file}` is none of the configuration files. They are: {', '.join(schemas)}.")
    _print(schemas[name])


def init(directory: Path) -> tuple[Path, ...]:
    """Write the Wayfarer preset's four commented files into a directory; raises `UsageError` rather than overwrite."""
    from configs.document import shown
    from configs.load import WAYFARER, preset_dir
    from configs.schema import FILES

    targets = {directory / file: preset_dir(WAYFARER) / file for file in FILES.values()}
    taken = [shown(target) for target in targets if os.path.lexists(target)]
    if taken:
        raise UsageError(f"{', '.join(taken)} already there. Move them away, or name another directory.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for target, preset in targets.items():
            # Exclusive creation: a file that appeared since the check above is not overwritten either.
            with target.open("x", encoding="utf-8") as file:
                file.write(preset.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory} cannot be written: {error.strerror}. Name another directory."
        ) from None
    return tuple(targets)


def _schema(section: str) -> dict[str, Any]:
    """JSON Schema of one file; editors may be pointed at it by a `$schema` key, which the files therefore allow."""
    from configs.schema import FOR_EDITORS, SECTIONS

    described = SECTIONS[section].model_json_schema()
    described["properties"][FOR_EDITORS] = {"type": "string", "description": "Where an editor finds this schema."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _directory(text: str | None) -> Path:
    from configs.load import demo_dir, find, locate

    return locate(text) if text is not None else find(Path.cwd()) or demo_dir()


def _files(directory: Path) -> dict[str, str]:
    from configs.schema import FILES

    return {file: "read" if (directory / file).exists() else "absent: defaults" for file in FILES.values()}


def _window(config: Config) -> str:
    return "no time limit" if config.window_hours is None else f"within {config.window_hours:g} hours"


def _origins(config: Config) -> dict[str, str]:
    from configs.schema import SECTIONS
    from configs.suggest import keys

    return {f"{section}.{key}": config.origin(f"{section}.{key}") for section in SECTIONS for key in keys(section)}


def _say(text: str) -> None:
    print(clean(text))


def _print(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
