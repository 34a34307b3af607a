"""A chat template tried before anything is spawned: real ones pass, a broken one is refused with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.load import demo_dir
from engine.model.trial import try_chat_template

PLAIN = "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"


def base(folder: Path, template: object, **tokenizer: object) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, **tokenizer}))
    return folder


@pytest.mark.parametrize(
    "template",
    [
        PLAIN,
        "{{ bos_token + unk_token }}" + PLAIN,
        "{{ pad_token }}{{ strftime_now('%Y') }}{{ tools | tojson(indent=2) if tools else '' }}" + PLAIN,
        "{% for m in messages %}{% if loop.first %}{{ m.content }}{% continue %}{% endif %}"
        "{% generation %}{{ m.content | trim }}{{ eos_token }}{% endgeneration %}{% endfor %}",
        "{% set ns = namespace(x=0) %}{% for m in messages %}{% set ns.x = ns.x + 1 %}{{ m.content }}</s>{% endfor %}",
        [{"name": "rag", "template": "{{"}, {"name": "default", "template": PLAIN}],
    ],
)
def test_what_real_templates_do_passes(tmp_path: Path, template: object) -> None:
    try_chat_template(base(tmp_path, template))
    try_chat_template(base(tmp_path, template, eos_token={"content": "<|end|>"}))


def test_the_demos_own_passes_and_so_does_every_template_nobody_has() -> None:
    try_chat_template(demo_dir() / "base")
    try_chat_template(None)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("a\n{% for m in messages %}{{ m['content'] }", r"tokenizer_config\.json:2: the chat template is not valid Ji"),
        ("{% nonsense %}", "is not valid Jinja"),
        ("{{ raise_exception('roles!') }}", r"refuses a plain conversation \(roles!\)"),
        ("{{ messages[0].nope.more }}", "refuses a plain conversation"),
        ("{{ 1 / 0 }}", "refuses a plain conversation"),
        ("{{ messages.pop() }}", "refuses a plain conversation"),
        ("{{ ''.__class__.__mro__ }}", "refuses a plain conversation"),
        ("{{ messages[0]['content'] }}", "leaves out or repeats a turn"),
        (PLAIN + PLAIN, "leaves out or repeats a turn"),
        ("{% for m in messages %}{{ m['content'] }}\n{% endfor %}", "ends a therapist turn with nothing"),
    ],
)
def test_a_broken_one_is_refused_with_its_file(tmp_path: Path, template: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        try_chat_template(base(tmp_path, template))
    assert "--chat-template FILE" in caught.value.message
    assert "tokenizer_config.json" in caught.value.message


def test_a_persons_own_file_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{{")
    with pytest.raises(ConfigError, match=r"own\.jinja:1: the chat template is not valid Jinja"):
        try_chat_template(base(tmp_path, PLAIN), own)
    own.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        try_chat_template(None, own)


def test_trying_one_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from pathlib import Path; from engine.model.trial import try_chat_template; "
        f"try_chat_template(Path({str(demo_dir() / 'base')!r})); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
