"""A chat template tried on two turns before anything is spawned, with jinja2 alone: a broken one is refused in 0.1 s.

What it lets pass is looked at again, with the tokenizer itself, where conversations are rendered.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from configs.errors import ConfigError
from engine.model.headers import read_json
from states.text import one_line

_REMEDY: Final = "give another template with --chat-template FILE"
_CLIENT: Final = "stint000000turn"
_THERAPIST: Final = "stint000001turn"
_STAND_INS: Final = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
"""For tokens that a tokenizer's class may bring without its files naming them."""

_REFUSALS: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a template's own expressions may raise."""


def try_chat_template(folder: Path | None, override: Path | None = None) -> None:
    """Render a client's and a therapist's turn; `override` is the user's own file, `folder` that of a local base.

    Raises:
        ConfigError: the template is no Jinja, refuses the turns, leaves one out, or ends a reply with nothing.
    """
    where, source = _template(folder, override)
    if source is None:
        return
    tokens = _STAND_INS | ({} if folder is None else _tokens(folder))
    text = _rendered(where, source, tokens, prompt=False)
    _rendered(where, source, tokens, prompt=True)
    if text.count(_CLIENT) != 1 or text.count(_THERAPIST) != 1:
        raise ConfigError(f"The chat template {where} leaves out or repeats a turn; {_REMEDY}.")
    if not text.partition(_THERAPIST)[2].strip():
        raise ConfigError(
            f"The chat template {where} ends a therapist turn with nothing, so the model could never learn to stop; "
            f"{_REMEDY}."
        )


def _rendered(where: Path, source: str, tokens: dict[str, str], *, prompt: bool) -> str:
    from jinja2 import TemplateError, TemplateSyntaxError

    turns = [{"role": "user", "content": _CLIENT}, {"role": "assistant", "content": _THERAPIST}]
    try:
        template = _environment().from_string(source)
        # A prompt ends with the client.
        return str(template.render(messages=turns[: 1 if prompt else 2], add_generation_prompt=prompt, **tokens))
    except TemplateSyntaxError as error:
        reason = one_line(error.message or "", 120)
        raise ConfigError(
            f"{where}:{error.lineno}: the chat template is not valid Jinja ({reason}); {_REMEDY}."
        ) from None
    except (TemplateError, *_REFUSALS) as error:
        reason = one_line(str(error), 120)
        raise ConfigError(f"The chat template {where} refuses a plain conversation ({reason}); {_REMEDY}.") from None


def _environment() -> Any:
    """Jinja as transformers sets it up for chat templates."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block that marks what the assistant says; its content is what counts."""

        tags = {"generation"}  # noqa: RUF012  (how Jinja declares it)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False} | options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


def _template(folder: Path | None, override: Path | None) -> tuple[Path, str | None]:
    """The template that a run would use and the file it is in; None where only the tokenizer can tell."""
    if override is not None:
        return override, _text(override)
    if folder is None:
        return Path(), None
    if (folder / "chat_template.jinja").is_file():
        return folder / "chat_template.jinja", _text(folder / "chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        held = read_json(folder / name).get("chat_template") if (folder / name).is_file() else None
        if isinstance(held, list):
            held = next((each.get("template") for each in held if each.get("name") == "default"), None)
        if isinstance(held, str):
            return folder / name, held
    return folder, None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The chat template {path} cannot be read: {error}. Name a Jinja file in UTF-8.") from error


def _tokens(folder: Path) -> dict[str, str]:
    """Named special tokens, as their files give them."""
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in (read_json(folder / name) if (folder / name).is_file() else {}).items():
            text = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(text, str):
                found[key] = text
    return found
