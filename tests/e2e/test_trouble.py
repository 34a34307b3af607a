"""What goes wrong inside a step: memory runs out, or a number is no number."""

from __future__ import annotations

import shutil

import pytest
import torch

from engine.model.forward import forward_loss, packed_hidden
from engine.training.memory import OutOfMemory
from engine.training.step import take_step
from states.events import CheckpointCompleted, MemoryReduced, RunFailed, RunStopped, StepCompleted, StepRejected
from states.phases import ExitCode, Outcome

FORWARD = "engine.training.step.forward_loss"


HIDDEN = "engine.model.prototypes.packed_hidden"


def limited(tokens, real=forward_loss):
    """A device that holds no bin above `tokens`."""

    def forward(adapted, packed, **rest):
        if packed.input_ids.shape[0] > tokens:
            raise torch.OutOfMemoryError("out of memory")
        return real(adapted, packed, **rest)

    return forward


def test_bins_are_halved_until_a_step_fits_and_the_losses_stay_the_same(bench):
    assert bench.go() == ExitCode.FINISHED
    whole = [event.loss for event in bench.events(StepCompleted)]
    shutil.rmtree(bench.run)
    bench.monkeypatch.setattr(FORWARD, limited(150))
    assert bench.go() == ExitCode.FINISHED
    reduced = bench.events(MemoryReduced)
    assert reduced
    assert all(event.new_bin_tokens < event.old_bin_tokens for event in reduced)
    assert [event.loss for event in bench.events(StepCompleted)] == pytest.approx(whole, rel=1e-4)


def test_when_nothing_fits_the_run_says_what_to_do(bench):
    bench.monkeypatch.setattr(FORWARD, limited(10))
    assert bench.go() == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert failed.error_type == OutOfMemory.__name__
    assert "max_length" in failed.message
    assert bench.events(RunStopped)[0].outcome is Outcome.FAILED


def test_bins_are_halved_until_the_routers_can_be_started_and_they_start_the_same(bench):
    assert bench.go() == ExitCode.FINISHED
    whole = [event.loss for event in bench.events(StepCompleted)]
    shutil.rmtree(bench.run)
    bench.monkeypatch.setattr(HIDDEN, limited(150, packed_hidden))
    assert bench.go() == ExitCode.FINISHED
    reduced = bench.events(MemoryReduced)
    assert reduced
    assert {event.step for event in reduced} == {0}
    assert reduced[-1].new_bin_tokens <= 150
    assert [event.loss for event in bench.events(StepCompleted)] == pytest.approx(whole, rel=1e-4)


def test_when_the_routers_cannot_be_started_the_run_says_what_to_do(bench):
    bench.monkeypatch.setattr(HIDDEN, limited(10, packed_hidden))
    assert bench.go() == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert failed.error_type == OutOfMemory.__name__
    assert "max_length" in failed.message


def poisoned(calls):
    """`take_step` with a loss that is not a number at the given calls."""
    seen = 0

    def step(trainer, examples, **rest):
        nonlocal seen
        seen += 1
        if seen not in calls:
            return take_step(trainer, examples, **rest)
        parameter = trainer.parameters[0]
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.fill_(float("nan"))
        try:
            return take_step(trainer, examples, **rest)
        finally:
            with torch.no_grad():
                parameter.copy_(kept)

    return step


def test_a_step_that_is_not_finite_is_rejected_and_training_goes_on(bench):
    bench.monkeypatch.setattr("engine.training.memory.take_step", poisoned({4}))
    assert bench.go() == ExitCode.FINISHED
    (rejected,) = bench.events(StepRejected)
    assert (rejected.step, rejected.streak) == (4, 1)
    losses = {event.step: event.loss for event in bench.events(StepCompleted)}
    assert losses[4] is None
    assert all(loss is not None for step, loss in losses.items() if step != 4)


def test_too_many_rejected_steps_end_the_run_with_the_checkpoints_kept(bench):
    bench.monkeypatch.setattr("engine.training.memory.take_step", poisoned({8, 9, 10}))
    assert bench.go() == ExitCode.ERROR
    (failed,) = bench.events(RunFailed)
    assert "learning_rate" in failed.message
    last = bench.events(CheckpointCompleted)[-1]
    assert (bench.run / last.path / "MANIFEST.json").is_file()
