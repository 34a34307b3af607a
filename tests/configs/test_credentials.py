"""A credential in a configuration is refused where it stands, and never repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.load import load

Write = Callable[..., Path]

HEX40 = "0123456789abcdef" * 2 + "01234567"
HF = "hf_" + "aBcDeFgHiJkLmNoPqRsT"


@pytest.mark.parametrize(
    ("section", "content"),
    [
        ("training", {"base_model": "a/b", "hf_token": "short"}),
        ("training", {"base_model": HF}),
        ("training", {"base_model": "a/b", "dataset": f"https://user:{HF}@host/x.json"}),
        ("wandb", {"config": {"key": HEX40}}),
        ("wandb", {"notes": HEX40.upper()}),
        ("wandb", {"config": {"deep": [{"apiKey": "x1"}]}}),
        ("wandb", {"api_key": "x1"}),
        ("wandb", {"config": {"AWS_SECRET_ACCESS_KEY": "x1"}}),
        ("wandb", {"config": {"password": "x1"}}),
        ("safety", {"on_finish": ["curl", "-H", f"Authorization: Bearer {HF}"]}),
    ],
)
def test_it_is_refused_with_its_place_and_without_its_value(section: str, content: object, write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(**{section: json.dumps(content)}))
    message = caught.value.message
    assert "looks like a credential" in message
    assert "in the environment" in message
    assert "_config.json:1:" in message
    assert not any(value in message for value in (HEX40, HEX40.upper(), HF, "x1"))


def test_it_is_refused_on_the_command_line_too(write: Write) -> None:
    for text in ("wandb.config.api_key=x1x1", f"wandb.name={HF}", f'wandb.config={{"a": "{HF}"}}'):
        with pytest.raises(ConfigError, match=r"^--set wandb.*looks like a credential") as caught:
            load(write(), overrides=[text])
        assert "x1x1" not in caught.value.message
        assert HF not in caught.value.message


def test_what_only_resembles_one_is_let_through(write: Write) -> None:
    free = {"git_commit": HEX40, "pad_token": "<pad>", "tokens_per_second": "800", "keyboard": "x", "api_key": ""}
    assert load(write(wandb=json.dumps({"config": free}))).wandb.config == free
    assert load(write(training='{"base_model": "hf_internal/tiny"}')).training.base_model == "hf_internal/tiny"
