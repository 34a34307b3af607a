"""The one place that calls what torch leaves untyped, so that the rest of the model code stays strict."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn


def apply(function: type[torch.autograd.Function], *args: Any) -> torch.Tensor:
    """`function.apply(*args)` for a function that returns one tensor."""
    return cast("torch.Tensor", function.apply(*args))


def call(module: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`module(*args, **kwargs)` for a module that returns one tensor."""
    return cast("torch.Tensor", module(*args, **kwargs))


def wide(dtype: torch.dtype) -> torch.dtype:
    """At least float32: where sums and softmaxes are taken. Stays float64 for gradient checks."""
    return torch.promote_types(dtype, torch.float32)
