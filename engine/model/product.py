"""Matrix products without autograd, each by the fastest routine this processor has for it.

torch multiplies float32 on a CPU with MKL, which leaves the wide registers of an AMD processor unused: on a Zen 5 core
it reached 92 GFLOP/s where oneDNN, which torch carries too, reached 217, both in full float32. So wide registers and a
product worth the call mean oneDNN; everything else is torch's own choice. What is chosen depends on the machine and the
shapes alone, never on a measurement, so a resumed run multiplies with the same bits.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST_SIDE = 16
_SMALLEST_WORK = 1 << 23
"""Multiplications below which oneDNN's fixed cost of some 5 microseconds is not worth it."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x weight' + bias`: (rows, in), (out, in) -> (rows, out)."""
    if not (_pays(x, weight.shape[0]) and _whole(weight)):
        return functional.linear(x, weight, bias)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a b`."""
    return linear(a, b.t())


def add_product(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`total + a b`; `total` may be overwritten and is of no use afterwards."""
    if not (_pays(a, b.shape[1]) and _whole(b)):
        return total.addmm_(a, b)
    found: Tensor = torch.ops.mkldnn._linear_pointwise.binary(a, total, b.t(), None, "add")
    return found


def outer_sum(narrow: Tensor, broad: Tensor) -> Tensor:
    """`narrow' broad`, summed over rows: (rows, few), (rows, many) -> (few, many)."""
    if not _pays(narrow.t(), broad.shape[1]):
        return narrow.t() @ broad
    # oneDNN is quick with a left side that lies row by row and a right side without gaps: the copies cost less.
    return linear(narrow.t().contiguous(), broad.contiguous().t())


def shapes_are_costly(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether products are by oneDNN, which prepares each new shape before its first use."""
    return device.type == "cpu" and dtype == torch.float32 and _wide_registers()


def _pays(a: Tensor, columns: int) -> bool:
    rows, inner = a.shape
    if not shapes_are_costly(a.device, a.dtype):
        return False
    return min(rows, inner, columns) >= _SMALLEST_SIDE and rows * inner * columns >= _SMALLEST_WORK


def _whole(weight: Tensor) -> bool:
    """A view that skips values sends oneDNN to its reference routine, a hundred times slower."""
    return weight.is_contiguous() or weight.t().is_contiguous()


@cache
def _wide_registers() -> bool:
    # Each shape and direction takes a place or two in oneDNN's cache, which reads its size from here at its first use.
    # The usual 1,024 are used up by a few dozen lengths of bin and of target rows; the demo is there after 30 steps.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "4096")
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
