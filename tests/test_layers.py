"""The architecture as a test: who may import whom, and what must never be loaded where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["states", "configs", "engine", "tuiapp", "run"]
HEAVY = {"torch", "transformers", "peft", "safetensors", "tokenizers"}
BANNED = {
    "states": HEAVY | {"textual", "rich", "wandb", "pynvml", "psutil", "pydantic", "typer"},
    "configs": HEAVY | {"textual", "wandb", "pynvml", "psutil"},
    "engine": {"textual"},
    "tuiapp": HEAVY | {"wandb", "pynvml", "psutil", "pydantic", "transitions"},
}
PURE_STATES = {
    "time",
    "os",
    "pathlib",
    "socket",
    "threading",
    "random",
    "subprocess",
    "tempfile",
    "datetime",
}
"""Modules that would bring a clock, input/output or chance into `states`."""


def modules(layer: str) -> Iterator[Path]:
    skip = ROOT / "configs" / "demo"
    for path in (ROOT / layer).rglob("*.py"):
        if skip not in path.parents:
            yield path


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("layer", ORDER[:-1])
def test_a_layer_imports_only_downwards(layer: str) -> None:
    above = set(ORDER[ORDER.index(layer) + 1 :])
    forbidden = above | BANNED[layer]
    breaches = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules(layer)
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert breaches == []


def test_states_has_no_clock_no_files_no_chance() -> None:
    breaches = [
        f"{path.name}: {name}"
        for path in modules("states")
        for name in imports(path)
        if name.split(".")[0] in PURE_STATES
    ]
    assert breaches == []


def test_only_the_lifecycle_knows_the_state_machine_library() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for layer in ORDER[:-1]
        for path in modules(layer)
        if "transitions" in set(imports(path))
    }
    assert users == {"states/lifecycle.py"}


def test_the_cockpit_reaches_the_engine_only_through_its_light_room() -> None:
    breaches = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules("tuiapp")
        for name in imports(path)
        if name.startswith(("engine", "configs")) and not name.startswith("engine.run")
    ]
    assert breaches == []


def test_no_module_is_longer_than_one_idea() -> None:
    files = [path for room in (*ORDER[:-1], "tests", "benchmarks") for path in modules(room)] + [ROOT / "run.py"]
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_every_module_says_why_it_exists() -> None:
    files = [path for layer in ORDER[:-1] for path in modules(layer)] + [ROOT / "run.py"]
    silent = [path.relative_to(ROOT).as_posix() for path in files if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_pickle_is_written_or_read() -> None:
    calls = ("torch.load(", "torch.save(", "import pickle", "import marshal", "import shelve", "allow_pickle")
    files = [path for layer in ORDER[:-1] for path in modules(layer)] + [ROOT / "run.py"]
    assert [(path.name, call) for path in files for call in calls if call in path.read_text()] == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import tuiapp.app", ["torch", "transformers", "peft", "pydantic", "wandb"]),
        ("import run", ["torch", "transformers", "peft", "textual", "wandb"]),
        (
            "import engine.run.client, engine.run.journal, engine.run.status",
            ["torch", "transformers", "textual", "pydantic"],
        ),
        ("import configs.load", ["torch", "transformers", "textual"]),
    ],
)
def test_a_light_import_stays_light(statement: str, absent: list[str]) -> None:
    code = f"{statement}\nimport sys\nprint([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
