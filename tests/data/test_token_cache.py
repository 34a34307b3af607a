"""The token cache: what it keeps is exact, private and whole, and never outlives what it was made from."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Config, MoeConfig, SafetyConfig, TrainingConfig, WandbConfig
from engine.data import cache as cache_module
from engine.data.cache import KEPT, TokenCache, cache_key, cache_root
from engine.data.conversation import Conversation
from engine.data.example import Example
from engine.data.prepare import read_sources
from engine.data.template import Renderer
from engine.data.tokenizing import Tokens, tokenize

MakeTokenizer = Callable[[str], Any]
Talk = Callable[..., Conversation]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stint" / "tokens"


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    rows = [
        {"text": f"Client: I worry, {n}.\nTherapist: {'Tell me more. ' * (n % 30)}{n}", "domain": "ab"[n % 2]}
        for n in range(60)
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(rows))
    return Config(
        training=TrainingConfig(base_model="base", dataset=str(path), max_length=96, bin_tokens=96),
        moe=MoeConfig(),
        safety=SafetyConfig(),
        wandb=WandbConfig(),
    )


def run(settings: Config, tokenizer: Any, threshold: int = 10) -> tuple[Tokens, list[tuple[str, int, int]]]:
    heard: list[tuple[str, int, int]] = []
    sources = read_sources(settings)
    tokens = tokenize(settings, tokenizer, sources, lambda *each: heard.append(each), threshold=threshold)
    return tokens, heard


def plain(examples: list[Example]) -> list[tuple[list[int], list[int], int, int, int]]:
    return [(e.ids.tolist(), e.labels.tolist(), e.domain_index, e.conversation, e.part) for e in examples]


def entries(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if not path.name.startswith("."))


def test_cached_tokens_are_the_rendered_ones_memory_mapped(
    settings: Config, make_tokenizer: MakeTokenizer, home: Path
) -> None:
    tokenizer = make_tokenizer("mistral")
    rendered, _ = run(settings, tokenizer, threshold=10**9)
    assert not home.exists()
    first, heard = run(settings, tokenizer)
    again, heard_again = run(settings, tokenizer)
    for tokens in (first, again):
        assert plain(tokens.train) == plain(rendered.train)
        assert plain(tokens.validation) == plain(rendered.validation)
        assert tokens.notes[: len(rendered.notes)] == rendered.notes
        assert not tokens.train[0].ids.flags.writeable
    assert (heard[0], heard[-1]) == (("tokenize", 0, 60), ("tokenize", 60, 60))
    assert heard_again == [("tokenize", 0, 60), ("tokenize", 60, 60)]
    assert "cache of an earlier run" in again.notes[-1]


def test_an_entry_is_its_owners_alone(settings: Config, make_tokenizer: MakeTokenizer, home: Path) -> None:
    run(settings, make_tokenizer("mistral"))
    [entry] = entries(home)
    for path in (home, home / entry):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (home / entry).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_whatever_changes_the_tokens_changes_the_key(make_tokenizer: MakeTokenizer, tmp_path: Path) -> None:
    tokenizer, other = make_tokenizer("mistral"), make_tokenizer("chatml")
    base = cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.1, 42, "a"))
    keys = {
        base,
        cache_key(tokenizer, Renderer(tokenizer, 128), ("digest", 0.1, 42, "a")),
        cache_key(other, Renderer(other, 96), ("digest", 0.1, 42, "a")),
        cache_key(tokenizer, Renderer(tokenizer, 96), ("other", 0.1, 42, "a")),
        cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.2, 42, "a")),
        cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.1, 43, "a")),
        cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.1, 42, "a", "b")),
    }
    template = tokenizer.chat_template
    try:
        tokenizer.chat_template = template + "{#- a remark -#}"
        keys.add(cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.1, 42, "a")))
    finally:
        tokenizer.chat_template = template
    assert len(keys) == 8
    assert base == cache_key(tokenizer, Renderer(tokenizer, 96), ("digest", 0.1, 42, "a"))


def test_a_change_of_the_rendering_code_makes_old_entries_stale(
    make_tokenizer: MakeTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer("mistral")
    renderer = Renderer(tokenizer, 96)
    before = cache_key(tokenizer, renderer, ())
    room = Path(cache_module.__file__).parent
    for path in room.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(cache_module, "__file__", str(tmp_path / "cache.py"))
    assert cache_key(tokenizer, renderer, ()) == before
    (tmp_path / "template.py").write_bytes((room / "template.py").read_bytes() + b"# another rule\n")
    assert cache_key(tokenizer, renderer, ()) != before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest", "foreign"])
def test_a_damaged_entry_is_made_again(
    settings: Config, make_tokenizer: MakeTokenizer, home: Path, damage: str
) -> None:
    tokenizer = make_tokenizer("mistral")
    run(settings, tokenizer)
    [entry] = entries(home)
    ids, manifest = home / entry / "ids.npy", home / entry / "manifest.json"
    raw = bytearray(ids.read_bytes())
    if damage == "flip":
        raw[-5] ^= 1
        ids.write_bytes(raw)
    elif damage == "cut":
        ids.write_bytes(raw[:-4])
    elif damage == "remove":
        ids.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.write_text(manifest.read_text().replace(entry, "0" * 32))
    expected, _ = run(settings, tokenizer, threshold=10**9)
    assert TokenCache().load(entry) is None
    again, heard = run(settings, tokenizer)
    assert len(heard) > 2 or not any("cache of an earlier run" in note for note in again.notes)
    assert plain(again.train) == plain(expected.train)
    assert TokenCache().load(entry) is not None


def test_a_crash_half_way_leaves_no_entry_and_its_remains_go_next_time(
    settings: Config, make_tokenizer: MakeTokenizer, home: Path
) -> None:
    tokenizer = make_tokenizer("mistral")
    renderer = Renderer(tokenizer, 96, ("a", "b"))
    sources = read_sources(settings)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenCache().store("k" * 32, renderer, (sources.train, sources.validation), stop)
    assert entries(home) == []
    left = home / f".{'x' * 32}.part"
    left.mkdir()
    (left / "ids.npy").write_bytes(b"\0" * 500)
    run(settings, tokenizer)
    assert [path.name for path in home.iterdir() if path.name.endswith(".part")] == []
    assert len(entries(home)) == 1


KILLED_AT = ("progress", "flush", "digest", "manifest", "rename", "prune")


@pytest.mark.parametrize("point", KILLED_AT)
def test_a_writer_that_is_killed_leaves_a_whole_entry_or_none(
    settings: Config, make_tokenizer: MakeTokenizer, home: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # the child below is forked
    monkeypatch.setattr("engine.data.survey.CHUNK", 16)
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    tokenizer = make_tokenizer("mistral")
    expected, _ = run(settings, tokenizer, threshold=10**9)
    child = os.fork()
    if child == 0:

        def killed(*arguments: object, **rest: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        targets = {
            "progress": (Renderer, "render_all", 2),
            "flush": (cache_module.os, "fsync", 2),
            "digest": (cache_module, "_digest", 2),
            "manifest": (cache_module, "write_json", 1),
            "rename": (Path, "rename", 1),
            "prune": (TokenCache, "_prune", 1),
        }
        owner, name, call = targets[point]
        original = getattr(owner, name)
        left = iter(range(1, call))

        def counted(*arguments: object, **rest: object) -> object:
            return killed() if next(left, None) is None else original(*arguments, **rest)

        setattr(owner, name, counted)
        run(settings, tokenizer)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    whole = [each for each in entries(home) if TokenCache().load(each) is not None]
    assert entries(home) == whole
    assert bool(whole) is (point == "prune")
    again, _ = run(settings, tokenizer)
    assert plain(again.train) == plain(expected.train)
    assert plain(again.validation) == plain(expected.validation)
    assert [path.name for path in home.iterdir() if path.name.endswith(".part")] == []
    [entry] = entries(home)
    assert TokenCache().load(entry) is not None


def test_where_nothing_can_be_kept_the_run_goes_on(
    settings: Config, make_tokenizer: MakeTokenizer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer("mistral")
    expected, _ = run(settings, tokenizer, threshold=10**9)
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    tokens, _ = run(settings, tokenizer)
    assert plain(tokens.train) == plain(expected.train)
    assert tokens.notes == expected.notes
    home.unlink()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "write_json", full)
    tokens, _ = run(settings, tokenizer)
    assert plain(tokens.train) == plain(expected.train)
    assert entries(home) == []


def test_only_the_newest_entries_stay(settings: Config, make_tokenizer: MakeTokenizer, home: Path) -> None:
    tokenizer = make_tokenizer("mistral")
    for seed in range(KEPT + 2):
        training = settings.training.model_copy(update={"seed": seed})
        run(settings.model_copy(update={"training": training}), tokenizer)
    assert len(entries(home)) == KEPT


def test_a_relative_cache_home_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert cache_root() == Path.home() / ".cache" / "stint" / "tokens"
