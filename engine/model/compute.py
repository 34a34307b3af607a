"""How one adapted model computes its layers: the few things that may change while it lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.model.path import FastPath


@dataclass(slots=True, kw_only=True)
class Compute:
    """Belongs to one `Adapted`; `fast` is made at the first pass, and None where the base is of another shape."""

    recompute: bool = False
    reference: bool = False
    prepared: bool = False
    fast: FastPath | None = None

    @contextmanager
    def on_reference(self) -> Iterator[None]:
        """Inside the block layers run by autograd through transformers: slower, and what the fast path must equal."""
        before, self.reference = self.reference, True
        try:
            yield
        finally:
            self.reference = before
