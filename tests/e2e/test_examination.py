"""The experts' examination in a whole run: optional, bounded, and never in the way of the published model."""

from __future__ import annotations

import json

from states.commands import Finish
from states.events import ExpertsExamined, RunStopped, TaskStarted
from states.phases import ExitCode


def test_a_person_in_a_hurry_cuts_the_examination_short_and_gets_the_model(bench) -> None:
    """The order comes between two bins."""
    bench.at("engine.quality.gated.evaluate_bin", lambda: bench.send(Finish()), call=4)
    assert bench.go() == ExitCode.FINISHED
    assert any(event.task == "examine the experts" for event in bench.events(TaskStarted))
    (stopped,) = bench.events(RunStopped)
    assert stopped.exit_code == 0
    assert (bench.run / "moe_layers.safetensors").is_file()
    routing = json.loads((bench.run / "model_info.json").read_text())["routing"]
    examined = bench.events(ExpertsExamined)
    assert all(event.ablated == () for event in examined), "what was not finished is not told"
    assert (routing["gap"] is not None) == bool(examined)


def test_a_plain_lora_is_not_examined(bench, configured) -> None:
    configured(moe={"adapter_mode": "lora"})
    assert bench.go() == ExitCode.FINISHED
    assert bench.events(ExpertsExamined) == []
    assert json.loads((bench.run / "model_info.json").read_text())["routing"]["active"] is False
    assert "no routing" in (bench.run / "README.md").read_text()
