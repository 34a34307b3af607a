"""A CUDA device that is not there: shapes, dtypes and devices of what would run on it, and none of its numbers.

Whatever is made on the card, or from something there, is a tensor without values; what comes to the host is zeros. So
a tensor left on the wrong device, a kernel that refuses its arguments, and a wait for the device show without one. It
takes a torch that is built with CUDA, as the usual wheels for Linux are; a driver it does not take.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CARD: Final = torch.device("cuda", 0)
USABLE: Final = (
    torch.version.cuda is not None
    and not torch.cuda.is_available()
    and hasattr(torch._C, "_ensureCUDADeviceGuardSet")  # an internal door of torch's
)
_ENGINE: Final = Path(__file__).resolve().parents[2] / "engine"
_aten = torch.ops.aten


class Shapes(FakeTensorMode):
    """Tensors without values, on a device that is never asked for anything."""

    avoid_device_init = True


class Card(TorchDispatchMode):
    """Sends each operation that concerns the card to `Shapes`."""

    def __init__(self) -> None:
        super().__init__()
        self._shapes = Shapes(allow_non_fake_inputs=True)
        self.waits: list[str] = []
        """Places of ours that made the host wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "pin_memory"}
        device = kwargs.get("device")
        there = any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs)))
        if not there and (device is None or torch.device(device).type != "cuda"):
            return func(*args, **kwargs)
        if func is _aten._local_scalar_dense.default:
            self._wait()
            return torch.zeros((), dtype=args[0].dtype).item()
        if func is _aten.copy_.default and not isinstance(args[0], FakeTensor):
            if not (len(args) > 2 and args[2]):
                self._wait()
            return args[0].zero_()
        with self._shapes:
            made = func(*args, **kwargs)
        if isinstance(made, FakeTensor) and made.device.type == "cpu":
            self._wait()
            return torch.zeros(made.shape, dtype=made.dtype)
        return made

    def _wait(self) -> None:
        frame: FrameType | None = sys._getframe()
        while frame is not None and not _ours(frame.f_code.co_filename):
            frame = frame.f_back
        self.waits.append(f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?")


class Event:
    """What `torch.cuda.Event` is to us."""

    def __init__(self, *, enable_timing: bool = False) -> None:
        assert enable_timing

    def record(self) -> None:
        """Nothing is under way."""

    def synchronize(self) -> None:
        """Nothing is waited for."""

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds."""
        return 1.0


@contextmanager
def a_card() -> Iterator[Card]:
    """Inside the block `CARD` can be computed on."""
    torch._C._ensureCUDADeviceGuardSet()
    with ExitStack() as stack:
        stack.enter_context(mock.patch("torch.cuda._lazy_init", return_value=None))
        stack.enter_context(mock.patch("torch.cuda.Event", Event))
        stack.enter_context(mock.patch("torch.autograd.backward", backward))
        yield stack.enter_context(Card())


def backward(loss: Tensor) -> None:
    """Gradients into `.grad`, by walking the graph here: torch's own engine wants a device to run on."""
    order: list[Any] = []
    waiting = [(loss.grad_fn, False)]
    seen = set()
    while waiting:
        node, left = waiting.pop()
        if left:
            order.append(node)
        elif node is not None and node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(each, False) for each, _ in node.next_functions]
    arrived: dict[Any, dict[int, Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    for node in reversed(order):
        slopes = arrived.pop(node, None)
        if slopes is not None:
            for (target, index), slope in _edges(node, slopes):
                into = arrived.setdefault(target, {})
                into[index] = slope if index not in into else into[index] + slope


def _edges(node: Any, slopes: dict[int, Tensor]) -> Sequence[tuple[tuple[Any, int], Tensor]]:
    if type(node).__name__ == "AccumulateGrad":
        parameter, slope = node.variable, slopes[0]
        assert (slope.shape, slope.dtype, slope.device) == (parameter.shape, parameter.dtype, parameter.device)
        parameter.grad = slope if parameter.grad is None else parameter.grad + slope
        return []
    inputs = [slopes.get(index) for index in range(max(slopes) + 1)]
    written = hasattr(node, "apply")
    with torch.no_grad():
        found = node.apply(*inputs) if written else node(*inputs)
    found, edges = found if isinstance(found, tuple) else (found,), list(node.next_functions)
    if written:
        # A node written in Python answers for every argument; its edges are of tensors alone.
        found = tuple(slope for slope, wanted in zip(found, node.needs_input_grad, strict=True) if wanted)
        edges = [edge for edge in edges if edge[0] is not None]
    pairs = zip(edges, found, strict=True)
    return [(edge, slope) for edge, slope in pairs if edge[0] is not None and slope is not None]


def _ours(file: str) -> bool:
    return Path(file).is_relative_to(_ENGINE)
