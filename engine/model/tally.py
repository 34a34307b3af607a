"""What routing did, counted on the device: one float64 row per layer, so that one copy reads all of it.

A row holds, in this order: assignments by domain and expert (domains + 1 unlabelled, experts), the sums of router
probabilities and of gates by expert, the sum of token entropies, and the number of tokens. Counts are exact up to 2^53.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.model.pointwise import chosen, renormalised


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSample:
    """Routing over a window of steps or over one evaluation, on the host."""

    counts: tuple[tuple[int, ...], ...]
    """(layers, experts): assignments; each token counts `top_k` times."""
    token_entropy: tuple[float | None, ...]
    """(layers,): mean entropy of the router's distribution, nats."""
    balance_loss: float | None
    """Mean over layers of E * sum_e F_e P_e with the window's own usage F; 1.0 is balanced."""
    domains: dict[str, tuple[int, ...]]
    """domain -> (experts,): assignments summed over layers; tokens without a domain are in `counts` only."""
    layer_domains: dict[str, tuple[tuple[int, ...], ...]]
    """domain -> (layers, experts): the same by layer."""
    gate_mass: tuple[tuple[float, ...], ...]
    """(layers, experts): mean gate over tokens; rows sum to 1."""
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things lie in a row."""

    num_layers: int
    num_experts: int
    domains: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Columns of the domain-by-expert table; its last row takes tokens without a domain."""
        return (len(self.domains) + 1) * self.num_experts

    @property
    def width(self) -> int:
        """Columns of a row."""
        return self.cells + 2 * self.num_experts + 2

    @property
    def _probabilities(self) -> slice:
        return slice(self.cells, self.cells + self.num_experts)

    @property
    def _gates(self) -> slice:
        return slice(self.cells + self.num_experts, self.cells + 2 * self.num_experts)

    def zeros(self, device: torch.device) -> torch.Tensor:
        """An empty buffer: (layers, width) float64."""
        return torch.zeros(self.num_layers, self.width, dtype=torch.float64, device=device)

    def row(
        self, probabilities: torch.Tensor, top_k: int, domains: torch.Tensor, valid: torch.Tensor | None
    ) -> torch.Tensor:
        """Count one layer of one bin: probabilities (tokens, experts), domains (tokens,) with -1 for none; no sync."""
        p = probabilities.detach()
        weight = p.new_ones(p.shape[0], dtype=torch.float64) if valid is None else valid.to(torch.float64)
        kept, experts = p.topk(top_k, dim=-1)
        known = self._known(domains)
        flat = (known[:, None] * self.num_experts + experts).reshape(-1)
        gates = (kept / kept.sum(-1, keepdim=True)).to(torch.float64) * weight[:, None]
        out = torch.zeros(self.width, dtype=torch.float64, device=p.device)
        out[: self.cells].index_add_(0, flat, weight.repeat_interleave(top_k, output_size=flat.shape[0]))
        out[self._probabilities] = weight @ p.to(torch.float64)
        out[self._gates].index_add_(0, experts.reshape(-1), gates.reshape(-1))
        out[-2] = weight @ torch.special.entr(p).sum(-1).to(torch.float64)
        out[-1] = weight.sum()
        return out

    def membership(self, domains: torch.Tensor, valid: torch.Tensor | None) -> Membership:
        """Prepare the counting of one bin once for all its layers; domains (tokens,) with -1 for none."""
        num = len(self.domains)
        known = self._known(domains)
        table = torch.zeros(num + 2, domains.shape[0], dtype=torch.float64, device=domains.device)
        table[:-1] = known == torch.arange(num + 1, device=domains.device)[:, None]
        table[-1] = 1.0
        return Membership(table=table if valid is None else table * valid)

    def _known(self, domains: torch.Tensor) -> torch.Tensor:
        """Rows of the table: a domain that was not trained on, or none at all, is in the last."""
        num = len(self.domains)
        return torch.where((domains < 0) | (domains > num), num, domains)

    def table(self, buffer: torch.Tensor) -> torch.Tensor:
        """(layers, width) -> (layers, domains + 1, experts): a view of the assignments."""
        # The middle size is spelt out: with no layers, as in plain LoRA, there is nothing to infer it from.
        return buffer[:, : self.cells].view(self.num_layers, len(self.domains) + 1, self.num_experts)

    def read(self, buffer: torch.Tensor) -> RoutingSample | None:
        """Bring a buffer to the host with one copy; None when nothing was counted."""
        host = buffer.to("cpu")
        tokens = int(host[0, -1].item()) if self.num_layers else 0
        if tokens == 0:
            return None
        table = host[:, : self.cells].view(self.num_layers, -1, self.num_experts).to(torch.int64)
        counts = table.sum(1)
        usage = counts / counts.sum(-1, keepdim=True)
        mean_probability = host[:, self._probabilities] / tokens
        by_domain = dict(zip(self.domains, table.unbind(1), strict=False))
        return RoutingSample(
            counts=_rows(counts),
            token_entropy=tuple(float(value) / tokens for value in host[:, -2]),
            balance_loss=float((self.num_experts * (usage * mean_probability).sum(-1)).mean()),
            domains={name: tuple(int(n) for n in part.sum(0)) for name, part in by_domain.items()},
            layer_domains={name: _rows(part) for name, part in by_domain.items()},
            gate_mass=tuple(tuple(float(mass) for mass in row) for row in host[:, self._gates] / tokens),
            tokens=tokens,
        )


def count_owners(book: torch.Tensor, probabilities: torch.Tensor, top_k: int, owners: torch.Tensor) -> None:
    """Add one layer's assignments to book (conversations, experts) int64; owners: (tokens,) rows of the book."""
    experts = probabilities.detach().topk(top_k, dim=-1).indices
    flat = (owners[:, None] * book.shape[1] + experts).reshape(-1)
    book.view(-1).index_add_(0, flat, torch.ones_like(flat))


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Which tokens of a bin count where: one product then gives the row that `Layout.row` gives by scattering."""

    table: torch.Tensor
    """(domains + 2, tokens) float64 of 0 and 1: each domain's tokens, those without one, all that are valid."""

    def row(self, p: torch.Tensor, top_k: int) -> torch.Tensor:
        """Count one layer: p (tokens, experts) -> (width,) float64."""
        experts = p.shape[1]
        mask = chosen(p, top_k)
        entropy = torch.special.entr(p).sum(-1, keepdim=True)
        product = self.table @ torch.cat(
            [x.to(torch.float64) for x in (mask, p, renormalised(p, mask), entropy)], dim=1
        )
        return torch.cat((product[:-1, :experts].flatten(), product[-1, experts:], self.table[-1].sum()[None]))


def _rows(table: torch.Tensor) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(value) for value in row) for row in table)
