"""What this device can do at most: the 12B job's own products in bfloat16 and fp8, its attention, and memory copies.

    python benchmarks/roofline.py --out benchmarks/results/roofline-h100.json

Data is random and normal, as zeros would draw less power; each product runs for seconds, and one layer's products for
half a minute, so that a card at its power limit shows. The last is the ceiling that `twelve_b.py` is held against.
Without a CUDA device it runs small shapes on the CPU, which tests the code and says nothing about a card.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from machine import machine
from shape_12b import TINY, WAYFARER, Shape, conversations, peak
from torch import Tensor

from engine.model.attention import Segments, attend, attend_backward

HEAD_ROWS = 1024
"""The loss takes its rows in chunks of this many."""
WARM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One operation, repeated for some seconds."""

    name: str
    kind: str
    detail: str
    teraflops: float
    """Median over the whole time."""
    last: float
    """Median over the last quarter: what is left when the card is hot."""
    share_of_peak: float | None
    seconds: float


def seconds_each(work: Callable[[], object], device: torch.device, budget_s: float) -> list[float]:
    """Seconds of one `work`, again and again for `budget_s`, in groups long enough to time."""
    for _ in range(WARM):
        work()
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    # One wait in a tenth of a second is too little to show.
    group = max(1, round(0.1 / max(1e-6, time.perf_counter() - started)))
    found: list[float] = []
    until = time.perf_counter() + budget_s
    while not found or time.perf_counter() < until:
        started = time.perf_counter()
        for _ in range(group):
            work()
        _wait(device)
        found.append((time.perf_counter() - started) / group)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rated(name: str, kind: str, detail: str, flops: float, each: list[float], device_name: str) -> Rate:
    """From seconds to a rate."""
    late = each[-max(1, len(each) // 4) :]
    best = peak(device_name, "float8" if kind == "float8" else "bfloat16")
    rate = flops / median(each)
    return Rate(
        name=name,
        kind=kind,
        detail=detail,
        teraflops=rate / 1e12,
        last=flops / median(late) / 1e12,
        share_of_peak=None if best is None else rate / best,
        seconds=sum(each),
    )


def operands(rows: int, inner: int, columns: int, kind: str, device: torch.device) -> Callable[[], Tensor]:
    """One product (rows, inner) x (inner, columns) of random values, ready to be run again and again."""
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    a = torch.randn(rows, inner, device=device, dtype=half)
    b = torch.randn(columns, inner, device=device, dtype=half)
    if kind != "float8":
        return lambda: a @ b.t()
    from torch.nn.functional import ScalingType, scaled_mm

    narrow_a, narrow_b = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
    one_a = torch.ones(rows, 1, device=device)
    one_b = torch.ones(1, columns, device=device)
    row_wise = ScalingType.RowWise

    def scaled() -> Tensor:
        return scaled_mm(
            narrow_a,
            narrow_b.t(),
            one_a,
            row_wise,
            one_b,
            row_wise,
            output_dtype=torch.bfloat16,
            use_fast_accum=device.type == "cuda",
        )

    return scaled


def products(shape: Shape, tokens: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, rows, inner and columns of every frozen product, forward and back to its input."""
    for name, (out, into, _) in shape.products.items():
        rows = min(tokens, HEAD_ROWS) if name == "head" else tokens
        yield f"{name} forward", rows, into, out
        yield f"{name} backward", rows, out, into


def layer(shape: Shape, tokens: int, kind: str, device: torch.device) -> tuple[Callable[[], None], float]:
    """One layer's products one after another, and their floating-point operations."""
    chosen = [each for each in products(shape, tokens) if not each[0].startswith("head")]
    ready = [operands(rows, inner, columns, kind, device) for _, rows, inner, columns in chosen]

    def all_of_them() -> None:
        for one in ready:
            one()

    return all_of_them, sum(2.0 * rows * inner * columns for _, rows, inner, columns in chosen)


def attention(shape: Shape, tokens: int, device: torch.device) -> Iterator[tuple[str, float, Callable[[], object]]]:
    """Attention over a bin of conversations, forward and backward: name, operations, work."""
    bounds, sizes = [0], iter(conversations(shape, 64))
    while bounds[-1] < tokens:
        bounds.append(min(tokens, bounds[-1] + next(sizes).tokens))
    segments = Segments.of(torch.tensor(bounds, dtype=torch.int32), tokens, device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    merged = torch.randn(tokens, shape.heads + 2 * shape.key_heads, shape.width, device=device, dtype=dtype)
    parts = merged.split((shape.heads, shape.key_heads, shape.key_heads), dim=1)
    scale = shape.width**-0.5
    out, kept = attend(*parts, segments, scale)
    slope = torch.randn_like(out)
    pairs = sum((stop - start) * (stop - start + 1) / 2 for start, stop in segments)
    forward = 4 * pairs * shape.heads * shape.width
    yield "attention forward", forward, lambda: attend(*parts, segments, scale)
    # Five products where forward has two, as the kernel computes the scores again.
    again = lambda: attend_backward(slope, *parts, out, list(kept), segments, scale)  # noqa: E731
    yield "attention backward", 2.5 * forward, again


def copied(device: torch.device, size: int, budget_s: float) -> float:
    """Bytes read and written in a second when one buffer is copied to another."""
    source = torch.randint(0, 255, (size,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * size / median(seconds_each(lambda: target.copy_(source), device, budget_s))


def measure(shape: Shape, tokens: int, device: torch.device, budget_s: float, long_s: float) -> dict[str, Any]:
    """Everything, printed as it is found."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    half = "bfloat16" if device.type == "cuda" else "float32"
    rates: list[Rate] = []
    refused: dict[str, str] = {}

    def take(found: Rate) -> Rate:
        rates.append(found)
        share = "" if found.share_of_peak is None else f"{found.share_of_peak:>8.1%}"
        print(f"{found.name:<20}{found.kind:<10}{found.detail:<24}{found.teraflops:>11.3f}{found.last:>11.3f}{share}")
        return found

    print(f"{'operation':<20}{'kind':<10}{'rows x inner x columns':<24}{'TFLOP/s':>11}{'at the end':>11}    peak")
    ceiling: dict[str, float] = {}
    for kind in (half, "float8"):
        try:
            for what, rows, inner, columns in products(shape, tokens):
                each = seconds_each(operands(rows, inner, columns, kind, device), device, budget_s)
                detail = f"{rows} x {inner} x {columns}"
                take(rated(what, kind, detail, 2.0 * rows * inner * columns, each, name))
            work, flops = layer(shape, tokens, kind, device)
            each = seconds_each(work, device, long_s)
            ceiling[kind] = take(rated("one layer", kind, "all, sustained", flops, each, name)).last
        except (RuntimeError, NotImplementedError, ValueError) as error:
            refused[kind] = str(error).strip().partition("\n")[0]
            print(f"{kind}: not on this device: {refused[kind]}")
    for what, flops, run in attention(shape, tokens, device):
        take(rated(what, half, f"{tokens} tokens", flops, seconds_each(run, device, budget_s), name))
    bandwidth = copied(device, (1 << 30) if device.type == "cuda" else (1 << 22), budget_s)
    print(f"copy: {bandwidth / 1e9:,.1f} GB/s, read and written")
    return {
        "device": name,
        "tokens": tokens,
        "ceiling_teraflops": ceiling,
        "refused": refused,
        "copy_bytes_per_s": bandwidth,
        "rates": [asdict(rate) for rate in rates],
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tokens", type=int, default=8192, help="rows of a product: the tokens of a bin")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each operation")
    parser.add_argument("--sustained", type=float, default=30.0, help="seconds of one layer's products in a row")
    parser.add_argument("--tiny", action="store_true", help="small shapes on the CPU; the default without a card")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    tiny = chosen.tiny or not torch.cuda.is_available()
    device = torch.device("cpu") if tiny else torch.device("cuda", 0)
    if tiny:
        print("Small shapes on the CPU: this tests the code and says nothing about a card.")
        found = measure(TINY, 256, device, 0.05, 0.2)
    else:
        found = measure(WAYFARER, chosen.tokens, device, chosen.seconds, chosen.sustained)
    if chosen.out is not None:
        report = {"command": "python benchmarks/roofline.py", "tiny": tiny, "machine": machine(), **found}
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
