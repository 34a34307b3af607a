"""Each exported artefact loads in plain transformers or PEFT, computes what it says, and says what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from configs.errors import UsageError
from engine.data.example import Example
from engine.model.gates import Fixed, Uniform
from engine.release.exporting import Held, Trained, export
from engine.release.forms import Form, folder_of
from engine.release.measuring import domain_gates

ALL = tuple(Form)
IDS = torch.arange(5, 45)[None]
Make = Callable[..., Trained]


def by_hand(logits: Callable[[torch.Tensor], torch.Tensor], examples: list[Example]) -> float:
    """Mean NLL over targets, one conversation at a time."""
    total, count = 0.0, 0
    for example in examples:
        ids = torch.tensor(example.ids[None].astype("int64"))
        labels = torch.tensor(example.labels[1:].astype("int64"))
        with torch.no_grad():
            nll = functional.cross_entropy(logits(ids)[0, :-1], labels, ignore_index=-100, reduction="sum")
        total, count = total + float(nll), count + int((labels >= 0).sum())
    return total / count


def peft(folder: Path, base: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    return lambda ids: model(ids).logits


@pytest.mark.parametrize("experts", ["shared_a", "private"])
def test_every_artefact_is_the_model_it_says_it_is(
    trained: Make, held: Held, tiny_base: Path, tmp_path: Path, experts: str
) -> None:
    from transformers import AutoModelForCausalLM

    made = trained(experts=experts)
    gates = domain_gates(made.adapted, held.examples, held.domains, held.bin_tokens)
    wanted = {}
    with torch.no_grad():
        for name, override in [
            ("average", Uniform()),
            *((folder_of(domain), Fixed(table)) for domain, table in gates.items()),
        ]:
            with made.adapted.routing.overridden(override):
                wanted[name] = made.adapted.model(IDS, use_cache=False).logits
    listed = {each["folder"]: each for each in export(made, tmp_path / "out", ALL, held=held)}
    assert set(listed) == {"routed", "merged", *wanted}
    for name, logits in wanted.items():
        model = peft(tmp_path / "out" / name, tiny_base)
        with torch.no_grad():
            assert (model(IDS) - logits).abs().max() < 1e-4, name
        assert by_hand(model, list(held.examples)) == pytest.approx(listed[name]["loss"], abs=1e-4)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "merged").eval()
    with torch.no_grad():
        assert (merged(IDS).logits - wanted["average"]).abs().max() < 1e-4
    assert by_hand(lambda ids: merged(ids).logits, list(held.examples)) == pytest.approx(
        listed["merged"]["loss"], abs=1e-4
    )


def test_the_routed_artefact_runs_without_stint(trained: Make, held: Held, tmp_path: Path) -> None:
    made = trained()
    with torch.no_grad():
        wanted = made.adapted.model(IDS, use_cache=False).logits
    export(made, tmp_path / "out", (Form.ROUTED,), held=None)
    folder = tmp_path / "out" / "routed"
    code = (
        "import sys, torch\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from load_routed import load_routed\n"
        f"model, tokenizer = load_routed({str(folder)!r}, device='cpu')\n"
        "assert not any(name.split('.')[0] in ('engine', 'configs', 'states') for name in sys.modules)\n"
        "ids = torch.arange(5, 45)[None]\n"
        "cached = model.generate(ids, max_new_tokens=8, do_sample=False, use_cache=True, eos_token_id=None)\n"
        "plain = model.generate(ids, max_new_tokens=8, do_sample=False, use_cache=False, eos_token_id=None)\n"
        "assert torch.equal(cached, plain) and tokenizer.chat_template\n"
        f"torch.save(model(ids).logits.detach(), {str(tmp_path / 'logits')!r})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (torch.load(tmp_path / "logits", weights_only=True) - wanted).abs().max() < 1e-4


def test_each_card_states_its_own_gap(trained: Make, held: Held, tmp_path: Path) -> None:
    export(trained(), tmp_path / "out", ALL, held=held)
    for folder in (tmp_path / "out").iterdir():
        if not folder.is_dir():
            continue
        told = json.loads((folder / "model_info.json").read_text())["artefact"]
        card = (folder / "README.md").read_text()
        assert told["routing_active"] == (folder.name == "routed")
        assert ("Routing is not active" in card) != told["routing_active"]
        assert f"{told['loss']:.4f}" in card
        assert "not a crisis service" in card
        if not told["routing_active"]:
            assert f"{told['gap']:+.4f}" in card


def test_without_data_the_gap_is_said_to_be_unmeasured(trained: Make, tmp_path: Path) -> None:
    export(trained(), tmp_path / "out", (Form.AVERAGE, Form.ROUTED), held=None)
    assert "was not measured" in (tmp_path / "out" / "average" / "README.md").read_text()


def test_a_plain_lora_is_one_adapter_without_talk_of_routing(
    trained: Make, held: Held, tiny_base: Path, tmp_path: Path
) -> None:
    made = trained(mode="lora")
    with torch.no_grad():
        wanted = made.adapted.model(IDS, use_cache=False).logits
    listed = export(made, tmp_path / "out", (Form.ROUTED, Form.AVERAGE, Form.DOMAINS), held=held)
    assert [each["folder"] for each in listed] == ["adapter"]
    model = peft(tmp_path / "out" / "adapter", tiny_base)
    with torch.no_grad():
        assert (model(IDS) - wanted).abs().max() < 1e-4
    assert by_hand(model, list(held.examples)) == pytest.approx(listed[0]["loss"], abs=1e-4)
    assert "plain LoRA" in (tmp_path / "out" / "adapter" / "README.md").read_text()


def test_a_large_model_is_written_in_shards(trained: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    from engine.release import merging

    made = trained()
    monkeypatch.setattr(merging.write_model, "__kwdefaults__", {"shard_bytes": 60_000, "progressed": lambda *_: None})
    with torch.no_grad(), made.adapted.routing.overridden(Uniform()):
        wanted = made.adapted.model(IDS, use_cache=False).logits
    export(made, tmp_path / "out", (Form.MERGED,), held=None)
    folder = tmp_path / "out" / "merged"
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(folder).eval()(IDS).logits
    assert (found - wanted).abs().max() < 1e-4


def test_an_export_never_touches_what_is_there(trained: Make, held: Held, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists"):
        export(trained(), tmp_path / "out", ALL, held=held)


def test_one_that_fails_leaves_nothing(
    trained: Make, held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.release.exporting.save_file", full)
    with pytest.raises(UsageError, match="could not be written: No space"):
        export(trained(), tmp_path / "out", ALL, held=held)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("forms", "domain", "complaint"),
    [((Form.DOMAINS,), None, "validation data"), ((Form.MERGED,), "nowhere", "no domain 'nowhere'")],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    trained: Make, tmp_path: Path, forms: tuple[Form, ...], domain: str | None, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        export(trained(), tmp_path / "out", forms, held=None, merge_domain=domain)
    assert list(tmp_path.iterdir()) == []
