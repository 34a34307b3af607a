"""The built-in demo as it ships: it learns, it stays balanced, in three seeds. Minutes each, so only with `-m slow`."""

from __future__ import annotations

import pytest

from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from engine.training.main import run_engine
from states.phases import ExitCode
from states.reducer import fold


@pytest.mark.slow
@pytest.mark.parametrize("seed", [42, 1, 2])
def test_the_demo_gains_a_fifth_on_validation_with_every_expert_in_use(seed, tmp_path):
    run = tmp_path / "run"
    launch = choose(Choice(output_dir=run, overrides=(f"training.seed={seed}", "training.threads=1")))
    assert run_engine(launch, quiet=True) == ExitCode.FINISHED
    view = fold(read(RunDir(run).events))
    first, *_, last = [evaluation.loss for evaluation in view.evaluations if evaluation.scope == "full"]
    assert last < 0.8 * first
    assert all(0.20 <= share <= 0.30 for share in view.eval_experts.shares)
