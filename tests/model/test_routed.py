"""The routed model outside of training: the trainer's logits and gates, in transformers, with and without a cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError
from engine.model.adapters import Adapted, attach
from engine.model.export import read_adapter, read_spec, write_adapter
from engine.model.gates import Uniform
from engine.model.load import load_base
from engine.model.routed import load_routed, open_routed
from tests.model.conftest import TEMPLATE


def recorded_gates(adapted: Adapted) -> list[torch.Tensor]:
    """Filled with the first layer's gates, one entry a forward."""
    seen: list[torch.Tensor] = []
    router = adapted.layers[0].router
    assert router is not None
    router.register_forward_hook(lambda _module, _inputs, gates: seen.append(gates.detach().clone()))
    return seen


@pytest.fixture
def exported(build, bases: dict[str, Path], tmp_path: Path):
    """A trained model and the folder of its files."""

    def make(**choices: object) -> tuple[Adapted, Path]:
        adapted: Adapted = build("mistral", **choices)
        if adapted.spec.routed:
            adapted.routing.usage.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
        write_adapter(adapted, tmp_path, str(bases["mistral"]))
        return adapted, tmp_path

    return make


@pytest.mark.parametrize(
    "choices",
    [{"top_k": 1}, {"top_k": 2}, {"top_k": 4}, {"experts": "private"}, {"mode": "lora"}],
    ids=["top1", "top2", "dense", "private", "lora"],
)
def test_it_has_the_trainers_logits_and_gates(exported, choices: dict[str, object]) -> None:
    adapted, folder = exported(**choices)
    loaded, _ = open_routed(folder)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        got = loaded.model(ids).logits
        assert (got - adapted.model(ids, use_cache=False).logits).abs().max() < 1e-5
        if adapted.spec.routed:
            with adapted.routing.overridden(Uniform()):
                assert (got - adapted.model(ids, use_cache=False).logits).abs().max() > 1e-4
    assert torch.equal(loaded.routing.usage, adapted.routing.usage)
    assert loaded.routing.top_k == adapted.routing.top_k


def test_an_adapter_that_names_no_base_says_so(exported, bases: dict[str, Path]) -> None:
    _, folder = exported()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(ConfigError, match="--base-model"):
        open_routed(folder)
    open_routed(folder, str(bases["mistral"]))


def test_decoding_with_a_cache_routes_each_token_as_one_forward_does(exported) -> None:
    _, folder = exported()
    loaded, _ = open_routed(folder)
    seen = recorded_gates(loaded)
    prompt = torch.tensor([[5, 6, 7, 9]])
    out = loaded.model.generate(
        prompt,
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    assert [gates.shape[0] for gates in seen] == [4, *[1] * 7], "the cache was not used"
    stepwise = torch.cat(seen)
    seen.clear()
    with torch.no_grad():
        whole = loaded.model(out.sequences, use_cache=False).logits[0]
    assert (torch.cat(seen)[:-1] - stepwise).abs().max() < 1e-6
    assert (torch.cat(out.logits) - whole[3:-1]).abs().max() < 1e-5


def test_a_padded_batch_answers_as_each_prompt_alone(exported) -> None:
    _, folder = exported()
    model, _ = load_routed(folder)
    choices = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    ids = torch.tensor([[0, 0, 11, 12], [21, 22, 23, 24]])
    both = model.generate(ids, attention_mask=(ids > 0).long(), **choices)
    for row, prompt in zip(both, ([11, 12], [21, 22, 23, 24]), strict=True):
        alone = model.generate(torch.tensor([prompt]), **choices)[0]
        assert row[4:].tolist() == alone[len(prompt) :].tolist()


def test_it_computes_in_the_precision_it_was_trained_in(build, bases: dict[str, Path], tmp_path: Path) -> None:
    """Rounded hidden states flip ties between experts; routed alike means computed alike."""
    adapted = build("mistral")
    for module in adapted.model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                setattr(module, name, torch.nn.Parameter(parameter.bfloat16(), requires_grad=False))
    write_adapter(adapted, tmp_path, str(bases["mistral"]))
    loaded, _ = open_routed(tmp_path)
    assert loaded.embeddings.weight.dtype is torch.bfloat16
    here, there = recorded_gates(adapted), recorded_gates(loaded)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, adapted.model(ids, use_cache=False).logits)
    assert torch.equal(here[0], there[0])
    assert here[0].dtype is torch.float32
    wider, _ = open_routed(tmp_path, dtype="float32")
    assert wider.embeddings.weight.dtype is torch.float32
    with pytest.raises(ConfigError, match="dtype"):
        load_routed(tmp_path, dtype="int8")


def test_a_run_its_checkpoint_and_a_copy_of_its_files_route_alike(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "moe_layers.safetensors"):
        shutil.copy(finished_run / name, copy)
    best = finished_run / read_source(finished_run)
    ids = torch.arange(3, 60)[None]
    outputs, gates, usage = [], [], []
    for source in (finished_run, best, copy):
        loaded, tokenizer = open_routed(source)
        seen = recorded_gates(loaded)
        with torch.no_grad():
            outputs.append(loaded.model(ids).logits)
        gates.append(seen[0])
        usage.append(loaded.routing.usage)
        assert tokenizer.chat_template
    # What the engine does on a resume: base, adapters, read; then it evaluates with it.
    config = json.loads((best / "adapter_config.json").read_text())
    resumed = attach(
        load_base(Path(config["base_model_name_or_path"]), dtype=torch.float32, device=torch.device("cpu")),
        read_spec(best),
    )
    read_adapter(resumed, best)
    with torch.no_grad():
        outputs.append(resumed.model(ids, use_cache=False).logits)
    usage.append(resumed.routing.usage)
    assert all(torch.equal(each, outputs[0]) for each in outputs)
    assert all(torch.equal(each, gates[0]) for each in gates)
    assert all(torch.equal(each, usage[0]) for each in usage)
    assert not torch.equal(usage[0], torch.full_like(usage[0], 0.25)), "training moved the usage average"


def read_source(run: Path) -> str:
    from engine.checkpoint.root import verify_root

    manifest = verify_root(run).manifest
    assert manifest is not None
    assert manifest.source is not None
    return manifest.source


def test_a_whole_answer_can_be_generated_from_a_finished_run(finished_run: Path) -> None:
    model, tokenizer = load_routed(str(finished_run))
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "I feel worry and panic"}], return_tensors="pt", return_dict=True
    )
    out = model.generate(**asked, max_new_tokens=5, do_sample=False)
    assert out.shape[1] > asked["input_ids"].shape[1]
    assert model.config.use_cache is True


def test_another_chat_template_than_in_training_is_refused(build, bases: dict[str, Path], tmp_path: Path) -> None:
    from engine.model.export import template_digest

    folder, mine = tmp_path / "adapter", tmp_path / "mine.jinja"
    folder.mkdir()
    mine.write_text(TEMPLATE + "!")
    write_adapter(build("mistral"), folder, str(bases["mistral"]), chat_template=template_digest(TEMPLATE + "!"))
    with pytest.raises(ConfigError, match="another chat template"):
        load_routed(folder)
    _, tokenizer = load_routed(folder, chat_template=mine)
    assert tokenizer.chat_template == TEMPLATE + "!"


def test_what_cannot_be_loaded_is_refused_with_a_reason(
    finished_run: Path, bases: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        load_routed(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no trained model"):
        load_routed(tmp_path)
    with pytest.raises(ConfigError, match="this model needs"):
        load_routed(finished_run, str(bases["llama"]))
    damaged = tmp_path / read_source(finished_run)
    shutil.copytree(finished_run / damaged.name, damaged)
    raw = bytearray((damaged / "moe_layers.safetensors").read_bytes())
    raw[-1] ^= 1
    (damaged / "moe_layers.safetensors").write_bytes(raw)
    with pytest.raises(ConfigError, match="damaged"):
        load_routed(damaged)
