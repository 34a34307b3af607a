"""The routers' shared memory: usage over whole steps, the balance gradient, and what is counted for the screen.

Balance loss of a layer: E * sum_e F_e P_e over the step's valid tokens. F is the moving average of whole-step usage of
previous steps, constant inside a step; taken from a micro-batch instead it would forbid experts to specialise
(arXiv 2501.11873). Only P carries gradient, so the loss is never formed: its gradient is added to the probabilities in
backward. That makes it independent of how a step is cut into bins, and safe under activation recompute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from engine.model.gates import GateOverride
from engine.model.late import Late
from engine.model.spec import AdapterSpec
from engine.model.tally import Layout, RoutingSample, count_owners
from engine.model.typed import apply


@dataclass(frozen=True, slots=True, kw_only=True)
class BinScope:
    """The bin a forward belongs to, on the device."""

    domains: torch.Tensor
    """(tokens,) int64, -1 where the conversation has none."""
    valid: torch.Tensor | None
    """(tokens,) bool, or None when every token belongs to a conversation."""
    training: bool
    owners: torch.Tensor | None = None
    """(tokens,) int64: which row of `assignments` each token counts for."""
    assignments: torch.Tensor | None = None
    """(layers, conversations, experts) int64, counted into in evaluation; None where nobody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a layer's backward owes: the balance gradient to the probabilities, and the counts to the book."""

    pull: torch.Tensor
    """(experts,): gradient of each valid token's probabilities."""
    valid: torch.Tensor | None
    row: torch.Tensor
    """(width,): to be added to `book` in place."""
    book: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LateSample:
    """A routing sample on its way to the host."""

    layout: Layout
    counted: Late

    def read(self) -> RoutingSample | None:
        """The sample, None when there is nothing; waits for the copy where it is not there yet."""
        return self.layout.read(self.counted.read())


class Routing:
    """State of all routers of one model; a model without routers has one with no layers, and everything is a no-op."""

    def __init__(self, spec: AdapterSpec, num_layers: int, device: torch.device) -> None:
        self.layout = Layout(num_layers=num_layers, num_experts=spec.num_experts, domains=spec.domains)
        self.num_experts = spec.num_experts
        self.top_k = spec.top_k
        self.decay = spec.usage_decay
        self.balance_weight = spec.balance_weight
        self.usage = torch.full((num_layers, spec.num_experts), 1.0 / spec.num_experts, device=device)
        """(layers, experts) float32, rows sum to 1: the F of the balance loss; part of a checkpoint."""
        self.override: GateOverride | None = None
        self._scope: BinScope | None = None
        self._step = self.layout.zeros(device)
        # Made once: what a step did is a few numbers, and booking them costs what its calls cost.
        self._assigned = self.layout.table(self._step)
        self._nothing = torch.zeros((), dtype=self._step.dtype, device=device)
        self._window = self.layout.zeros(device)
        self._evaluated = self.layout.zeros(device)
        self._strength = 0.0
        self._assignments = 0

    @property
    def num_layers(self) -> int:
        """How many layers have a router; 0 in plain LoRA mode."""
        return self.layout.num_layers

    def begin_step(self, tokens: int, *, ramp: float = 1.0) -> None:
        """Open an optimizer step of `tokens` valid tokens over all bins; `ramp` in [0, 1] scales the balance loss."""
        self._strength = self.balance_weight * ramp * self.num_experts / tokens
        self._assignments = tokens * self.top_k
        self._step.zero_()

    def end_step(self, accepted: torch.Tensor | None = None) -> None:
        """Fold the step's own counts into the usage average and into the window.

        Where `accepted`, a bool on the device, is false, the optimizer did not move and the step leaves no trace.
        """
        if not self.num_layers:
            return
        moved: float | torch.Tensor = 1.0 - self.decay
        if accepted is not None:
            torch.where(accepted, self._step, self._nothing, out=self._step)
            moved = moved * accepted
        share = self._assigned.sum(1).div_(self._assignments).to(self.usage.dtype)
        self.usage.lerp_(share, moved)
        self._window += self._step
        self._step.zero_()

    def discard_step(self) -> None:
        """The step was given up before its end: it leaves no trace."""
        self._step.zero_()

    def sample(self) -> RoutingSample | None:
        """What training did since the last sample, with one copy to the host; None when there is nothing."""
        return _take(self.layout, self._window)

    def sample_later(self) -> LateSample:
        """The same, to be read when the device has brought it back."""
        late = LateSample(layout=self.layout, counted=Late.of(self._window))
        self._window.zero_()
        return late

    def sample_evaluation(self) -> RoutingSample | None:
        """What evaluation did since the last sample."""
        return _take(self.layout, self._evaluated)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps, at a step boundary."""
        return {"usage": self.usage.detach().clone()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take a checkpoint's usage; shapes must agree."""
        if state["usage"].shape != self.usage.shape:
            raise ValueError(f"usage is {tuple(state['usage'].shape)}, expected {tuple(self.usage.shape)}")
        self.usage.copy_(state["usage"])
        for buffer in (self._step, self._window, self._evaluated):
            buffer.zero_()

    @contextmanager
    def overridden(self, override: GateOverride) -> Iterator[None]:
        """Replace every router's gates inside the block; nothing is counted."""
        previous, self.override = self.override, override
        try:
            yield
        finally:
            self.override = previous

    @contextmanager
    def inside(self, scope: BinScope | None) -> Iterator[None]:
        """Attribute the forwards of the block to a bin; without one nothing is counted or balanced."""
        previous, self._scope = self._scope, scope
        try:
            yield
        finally:
            self._scope = previous

    @property
    def scope(self) -> BinScope | None:
        """The bin the current forward belongs to, if any."""
        return self._scope

    def observe(self, layer: int, probabilities: torch.Tensor) -> torch.Tensor:
        """Count a layer's probabilities (tokens, experts) and, in training, add the balance gradient to them."""
        scope = self._scope
        if scope is None:
            return probabilities
        with torch.no_grad():
            row = self.layout.row(probabilities, self.top_k, scope.domains, scope.valid)
        due = self.account(layer, row, probabilities)
        if due is None:
            return probabilities
        return apply(Balance, probabilities, due.pull, due.valid, due.row, due.book)

    def account(self, layer: int, row: torch.Tensor, probabilities: torch.Tensor) -> Due | None:
        """Take a layer's counts of the bin in scope: evaluation's at once, training's when backward has run."""
        scope = self._scope
        if scope is None:
            return None
        if not scope.training:
            self._evaluated[layer] += row
            if scope.assignments is not None and scope.owners is not None:
                count_owners(scope.assignments[layer], probabilities, self.top_k, scope.owners)
            return None
        pull = self._strength * self.usage[layer].to(probabilities.dtype)
        return Due(pull=pull, valid=scope.valid, row=row, book=self._step[layer])


class Balance(torch.autograd.Function):
    """Identity on the probabilities; backward adds the balance gradient and books the counts.

    Booking in backward is exact under activation recompute, where forward runs twice but backward once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        probabilities: torch.Tensor,
        pull: torch.Tensor,
        valid: torch.Tensor | None,
        row: torch.Tensor,
        book: torch.Tensor,
    ) -> torch.Tensor:
        """pull: (experts,) gradient per valid token; row: (width,) added to `book` in place when backward runs."""
        ctx.save_for_backward(pull, row) if valid is None else ctx.save_for_backward(pull, row, valid)
        ctx.book = book
        return probabilities.view_as(probabilities)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        """Gradient of the balance loss added to the incoming one."""
        pull, row, *rest = ctx.saved_tensors
        ctx.book.add_(row)
        extra = pull.expand_as(gradients[0]) if not rest else pull * rest[0][:, None]
        return gradients[0] + extra, None, None, None, None


def _take(layout: Layout, buffer: torch.Tensor) -> RoutingSample | None:
    sample = layout.read(buffer)
    buffer.zero_()
    return sample
