"""One packed bin through the adapted model: its loss for training, its loss by conversation for evaluation.

`forward_loss` is the seam: whatever computes the layers, training asks for nothing but this number and its gradients.
They are computed by the fast path where the base has its shape, and by transformers inside
`adapted.compute.on_reference()` or where it has not. Only the reference calls modules, so only there hooks are called.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from engine.model.adapters import Adapted
from engine.model.attention import Segments
from engine.model.evened import PackedBin, evened
from engine.model.loss import row_nll, summed_nll
from engine.model.path import fast_path
from engine.model.routing import BinScope


@dataclass(frozen=True, slots=True, kw_only=True)
class BinScores:
    """Loss by conversation, on the host; a conversation without targets has 0 of both."""

    nll: torch.Tensor
    """(conversations,) float64: sum of -log p over the conversation's targets, nats."""
    targets: torch.Tensor
    """(conversations,) int64."""
    domains: torch.Tensor
    """(conversations,) int64, -1 for none."""
    assignments: torch.Tensor
    """(layers, conversations, experts) int64: what the routers chose; zeros under an override, no layers without."""


def valid_tokens(packed: PackedBin) -> int:
    """Tokens of a bin that belong to a conversation; a step's balance loss is over their sum."""
    return int(packed.starts[-1])


def forward_loss(adapted: Adapted, packed: PackedBin, *, scale: float = 1.0) -> torch.Tensor:
    """`scale` times the sum of -log p over the bin's targets: a float32 scalar, ready for backward.

    With `scale` = 1 / (targets of the whole step) the losses and gradients of a step's bins add up to those of its
    mean loss, however it is cut. The balance gradient is added in backward; open the step with `routing.begin_step`.
    """
    packed = _laid(adapted, packed)
    rows, targets = _targets(packed, adapted.device)
    with adapted.routing.inside(_scope(adapted, packed, training=True)):
        hidden = target_hidden(adapted, packed, rows)
    head = adapted.head
    return summed_nll(hidden, head.weight, head.bias, targets) * scale


@torch.no_grad()
def evaluate_bin(adapted: Adapted, packed: PackedBin) -> BinScores:
    """Loss by conversation, without gradient; routing is counted for `routing.sample_evaluation`."""
    packed = _laid(adapted, packed)
    scope, assignments = _counting(adapted, packed)
    rows, targets = _targets(packed, adapted.device)
    with adapted.routing.inside(scope):
        hidden = target_hidden(adapted, packed, rows)
    nll = row_nll(hidden, adapted.head.weight, adapted.head.bias, targets).to("cpu", torch.float64)
    starts = packed.starts.to("cpu", torch.int64)
    owner = torch.bucketize(_target_rows(packed), starts[1:], right=True)
    num = starts.shape[0] - 1
    return BinScores(
        nll=torch.zeros(num, dtype=torch.float64).index_add_(0, owner, nll),
        targets=torch.bincount(owner, minlength=num),
        domains=packed.domains.to("cpu", torch.int64)[starts[:-1]],
        assignments=assignments[:, :-1].to("cpu"),
    )


def target_hidden(adapted: Adapted, packed: PackedBin, rows: torch.Tensor) -> torch.Tensor:
    """Final hidden states of the chosen rows of a bin, (rows, hidden), by the fastest way there is."""
    path = fast_path(adapted)
    if path is not None:
        device = adapted.device
        segments = Segments.of(packed.starts, packed.input_ids.shape[0], device)
        if path.takes(segments):
            ids = packed.input_ids.to(device, torch.int64, non_blocking=True)
            return path.hidden(ids, packed.position_ids.to(device, torch.int64, non_blocking=True), segments, rows)
    return packed_hidden(adapted, packed).index_select(0, rows)


def packed_hidden(adapted: Adapted, packed: PackedBin) -> torch.Tensor:
    """Final hidden states of a bin, (tokens, hidden); conversations do not see each other.

    Without a cache and without a mask, transformers reads the conversation borders from the restarting positions. A
    cache, or a mask of ones, would make attention cross them silently. On CPU its mask takes tokens^2 bytes.
    """
    device = adapted.device
    output = adapted.model.model(
        input_ids=packed.input_ids.to(device, torch.int64, non_blocking=True)[None],
        position_ids=packed.position_ids.to(device, torch.int64, non_blocking=True)[None],
        use_cache=False,
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden[0]


def _laid(adapted: Adapted, packed: PackedBin) -> PackedBin:
    if fast_path(adapted) is None:
        return packed
    return evened(packed, adapted.device, adapted.embeddings.weight.dtype)


def _scope(adapted: Adapted, packed: PackedBin, *, training: bool) -> BinScope:
    device = adapted.device
    total, valid = packed.input_ids.shape[0], valid_tokens(packed)
    mask = None if valid == total else (torch.arange(total) < valid).to(device, non_blocking=True)
    domains = packed.domains.to(device, torch.int64, non_blocking=True)
    return BinScope(domains=domains, valid=mask, training=training)


def _counting(adapted: Adapted, packed: PackedBin) -> tuple[BinScope, torch.Tensor]:
    """The scope of an evaluation, with a book by conversation; its last row takes what belongs to none."""
    scope = _scope(adapted, packed, training=False)
    ends = packed.starts.to("cpu", torch.int64)[1:]
    owners = torch.bucketize(torch.arange(packed.input_ids.shape[0]), ends, right=True)
    routing = adapted.routing
    shape = (routing.num_layers, ends.shape[0] + 1, routing.num_experts)
    assignments = torch.zeros(shape, dtype=torch.int64, device=adapted.device)
    owners = owners.to(adapted.device, non_blocking=True)
    return replace(scope, owners=owners, assignments=assignments), assignments


def _targets(packed: PackedBin, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    rows = _target_rows(packed)
    return rows.to(device, non_blocking=True), packed.labels[rows].to(device, torch.int64, non_blocking=True)


def _target_rows(packed: PackedBin) -> torch.Tensor:
    """Found where the bin was built, on the host: on the device a data-dependent shape would synchronise."""
    return (packed.labels >= 0).nonzero().squeeze(1)
