"""kill -9 at three points, one inside a checkpoint write: resumed, the run ends on the same bits as if never killed."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training.choose import Choice, choose
from engine.training.found import look
from engine.training.main import run_engine
from states.events import CheckpointSkipped, RunRestored, RunStopped, StepCompleted
from states.phases import ExitCode

ENGINE = Path(__file__).parent / "engine_process.py"
TENSORS = ("adapter_model.safetensors", "moe_layers.safetensors", "optimizer.safetensors")


def final_hashes(run: Path) -> dict[str, str]:
    """SHA-256 of every tensor of the last checkpoint, and of the published model (metadata has no order of its own)."""
    last = RunDir(run).checkpoints()[-1]
    files = [last / name for name in TENSORS] + [run / name for name in TENSORS[:2]]
    return {
        f"{path.relative_to(run)}:{name}": hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for path in files
        for name, tensor in load_file(path).items()
    }


def losses(run: Path) -> dict[int, str]:
    """Step -> loss as hexadecimal float, of the lineage that lives."""
    return {
        record.event.step: float(record.event.loss).hex()
        for record in read(RunDir(run).events)
        if isinstance(record.event, StepCompleted) and record.event.loss is not None
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tiny_base, tiny_dataset):
    """Hashes and losses of a run that was never killed, and the overrides that made it."""
    run = tmp_path_factory.mktemp("whole") / "run"
    launch = start(run, tiny_base, tiny_dataset)
    assert run_engine(launch, quiet=True) == ExitCode.FINISHED
    return final_hashes(run), losses(run)


def start(run: Path, base: Path, dataset: Path, resume: str | None = None):
    overrides = (
        "training.learning_rate=5e-3",
        "training.warmup_steps=2",
        "training.num_train_epochs=2",
        "training.per_device_train_batch_size=4",
        "training.eval_steps=4",
        "training.threads=1",
        "training.bin_tokens=256",
        "training.max_length=256",
        "training.max_training_hours=1",
        "safety.max_training_hours=1",
    )
    # By hand, so that no adjustment to the measured speed moves the evaluations.
    return choose(
        Choice(
            output_dir=run,
            base_model=str(base),
            dataset=dataset,
            overrides=overrides,
            resume=resume,
            hours=None,
            manual=True,
        )
    )


@pytest.mark.parametrize("where", ["step:1", "step:13", "save:8:9"])
def test_a_killed_run_resumes_bit_for_bit(where, tmp_path, tiny_base, tiny_dataset, uninterrupted):
    run = tmp_path / "run"
    launch = start(run, tiny_base, tiny_dataset)
    told = tmp_path / "launch.json"
    told.write_bytes(launch.to_json())
    killed = subprocess.run([sys.executable, str(ENGINE), str(told), where], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    found = look(run)
    assert (found.live, found.outcome) == (False, None), "a killed run is neither live nor ended: it is lost"

    assert run_engine(start(run, tiny_base, tiny_dataset, resume="auto"), quiet=True) == ExitCode.FINISHED

    hashes, per_step = uninterrupted
    assert final_hashes(run) == hashes
    assert losses(run) == per_step
    records = list(read(RunDir(run).events))
    assert [record.seq for record in records] == list(range(len(records)))
    assert sum(isinstance(record.event, RunStopped) for record in records) == 1
    restored = [record.event for record in records if isinstance(record.event, RunRestored)]
    assert (len(restored) == 1) == (where != "step:1")


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, tiny_base, tiny_dataset, uninterrupted):
    run = tmp_path / "run"
    told = tmp_path / "launch.json"
    told.write_bytes(start(run, tiny_base, tiny_dataset).to_json())
    subprocess.run([sys.executable, str(ENGINE), str(told), "step:13"], capture_output=True, timeout=120)
    newest = RunDir(run).checkpoints()[-1]
    tensor = newest / "moe_layers.safetensors"
    content = bytearray(tensor.read_bytes())
    content[len(content) // 2] ^= 1
    tensor.write_bytes(content)

    assert run_engine(start(run, tiny_base, tiny_dataset, resume="auto"), quiet=True) == ExitCode.FINISHED

    skipped = [record.event for record in read(RunDir(run).events) if isinstance(record.event, CheckpointSkipped)]
    assert [event.path for event in skipped] == [newest.name]
    assert "moe_layers.safetensors" in skipped[0].why
    assert final_hashes(run) == uninterrupted[0]
