"""A base that cannot be used is refused within seconds, by name and with a remedy, before anything heavy loads."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.errors import ConfigError
from engine.model.folder import require_chat_template
from engine.model.resolve import resolve


@pytest.fixture
def copy(bases: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bases["mistral"], tmp_path / "base"))


@pytest.fixture
def sharded(copy: Path) -> Path:
    """The same model in two shards and an index."""
    tensors = load_file(copy / "model.safetensors")
    names = sorted(tensors)
    shards = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for shard, held in shards.items():
        save_file({name: tensors[name] for name in held}, copy / shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (copy / "model.safetensors").unlink()
    return copy


def edit(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def drop(path: Path, name: str) -> None:
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})


def refused(name: str | Path, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(str(name), timeout_s=0.3)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in caught.value.message
    return caught.value.message


def test_whole_folders_are_accepted(bases: dict[str, Path], sharded: Path) -> None:
    for folder in bases.values():
        assert resolve(str(folder)) == folder
    assert resolve(str(sharded)) == sharded


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.layers.0.input_layernorm.weight", "lm_head.weight"]
)
def test_a_missing_tensor_is_named(copy: Path, name: str) -> None:
    drop(copy / "model.safetensors", name)
    refused(copy, name, "Download it again")


def test_a_tensor_the_index_promises_and_no_shard_has_is_named(sharded: Path) -> None:
    name = "model.layers.1.self_attn.k_proj.weight"
    drop(sharded / "b.safetensors", name)
    refused(sharded, name, "b.safetensors")


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "b.safetensors").unlink()
    refused(sharded, "b.safetensors")


def test_an_index_that_points_outside_is_refused(sharded: Path) -> None:
    edit(sharded / "model.safetensors.index.json", lambda v: v["weight_map"].update({"x": "../b.safetensors"}))
    refused(sharded, "not a file of this folder")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_weights_cut_short_are_refused(copy: Path, keep: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(copy, "model.safetensors", "again")


def test_garbage_in_place_of_weights_is_refused(copy: Path) -> None:
    for start in (b"\x10\0\0\0\0\0\0\0not json at all.", b"\x0e\0\0\0\0\0\0\0" + b'{"a":{"b":1}} '):
        (copy / "model.safetensors").write_bytes(start + b"\0" * 64)
        refused(copy, "model.safetensors", "again")


def test_pickled_weights_are_refused_and_say_why(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, "pytorch_model.bin", "safetensors only")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    refused(copy, file)


def test_a_config_that_is_not_json_is_refused_with_its_place(copy: Path) -> None:
    (copy / "config.json").write_text('{\n  "model_type": }')
    refused(copy, "config.json:2:")


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal"])
def test_a_folder_that_would_run_code_is_refused(copy: Path, where: str, key: str) -> None:
    edit(copy / where, lambda v: v.update({"nested": [{key: {"AutoConfig": "evil.Config"}}]}))
    refused(copy, where, key)


def test_another_architecture_is_refused_as_such(copy: Path) -> None:
    save_file({"wte.weight": torch.zeros(3)}, copy / "model.safetensors")
    edit(copy / "config.json", lambda v: v.update(model_type="gpt2"))
    refused(copy, "gpt2", "Supported")


def test_a_path_that_does_not_exist_says_so(tmp_path: Path) -> None:
    for name in (f"{tmp_path}/nowhere", "./nowhere", "nowhere", "a/b/c", "~/nowhere-at-all", "owner/na me"):
        assert "There is no folder" in refused(name)
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An empty cache and a direct way out."""
    for key in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def test_an_unknown_hub_id_offline_is_refused_at_once(no_proxy: pytest.MonkeyPatch) -> None:
    no_proxy.setenv("HF_HUB_OFFLINE", "1")
    no_proxy.setattr(socket, "create_connection", lambda *_a, **_k: pytest.fail("no network was allowed"))
    refused("owner/model", "HF_HUB_OFFLINE", "hf download owner/model")


def test_a_hub_that_never_answers_costs_less_than_three_seconds(no_proxy: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hang(*_args: object, **_kwargs: object) -> None:
        never.wait(60)
        raise TimeoutError

    no_proxy.setattr(socket, "create_connection", hang)
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"huggingface\.co cannot be reached"):
        resolve("owner/model")
    assert time.monotonic() - start < 3.0
    never.set()


def test_a_hub_that_refuses_the_connection_is_refused_with_the_remedy(no_proxy: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        no_proxy.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        refused("owner/model", "127.0.0.1", "hf download owner/model")


def test_a_hub_that_answers_leaves_the_id_to_be_downloaded(no_proxy: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        no_proxy.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert resolve("owner/model") == "owner/model"
        no_proxy.delenv("HF_ENDPOINT")
        no_proxy.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert resolve("owner/model") == "owner/model"


def test_a_cached_snapshot_is_used_and_a_broken_one_is_named(
    no_proxy: pytest.MonkeyPatch, tmp_path: Path, copy: Path
) -> None:
    no_proxy.setenv("HF_HUB_OFFLINE", "1")
    repo = tmp_path / "cache" / "models--owner--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("a" * 40)
    snapshot = Path(shutil.copytree(copy, repo / "snapshots" / ("a" * 40)))
    assert resolve("owner/model") == snapshot
    (snapshot / "model.safetensors").unlink()
    refused("owner/model", "cached copy", "hf download owner/model")


def test_a_chat_template_is_found_or_asked_for(copy: Path, tmp_path: Path) -> None:
    require_chat_template(copy)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="--chat-template FILE"):
        require_chat_template(copy)
    given = tmp_path / "mine.jinja"
    with pytest.raises(ConfigError, match="no chat template at"):
        require_chat_template(copy, given)
    given.write_text("x")
    require_chat_template(copy, given)
    edit(copy / "tokenizer_config.json", lambda v: v.update(chat_template="x"))
    require_chat_template(copy)


def test_resolving_imports_neither_torch_nor_transformers(copy: Path) -> None:
    code = (
        "import sys; from engine.model.resolve import resolve; resolve(sys.argv[1]);"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(copy)], check=True, cwd=Path(__file__).parents[2], timeout=60)
