"""The 12B job on random weights: useful tokens a second, their share of what the card can do, memory, time, waiting.

    python benchmarks/twelve_b.py --bins 4096 8192 16384 --out benchmarks/results/twelve-b-h100.json
    python benchmarks/twelve_b.py --ladder --roofline benchmarks/results/roofline-h100.json --out ...

It takes the engine's own steps (attach, make_bins, take_step) at the 12B preset's lengths, 32 conversations a step,
with weights made on the card, so that nothing is downloaded. Each variant runs in a process of its own; running out
of memory is a result and is told as one. Variants that no longer fit into `--minutes` are named and left out; `--only`
takes them in another command, and rows of the same variant in --out are replaced. Without a CUDA device it runs a tiny
model on the CPU, which tests the code and says nothing about a card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import machine

from engine.run.spawn import engine_environment

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One rung: what is switched on."""

    name: str
    bin_tokens: int = 8192
    experts: int = 4
    reference: bool = False
    """transformers' layers under autograd instead of the fast path."""
    eager: bool = False
    """Pointwise functions as written instead of compiled."""
    recompute: bool = False
    """Keep only each layer's input and compute the layer again in backward."""


def ladder(bin_tokens: int) -> list[Variant]:
    """From the slowest way that fits to the fastest, one switch each; most wanted first."""
    return [
        Variant(name="fast", bin_tokens=bin_tokens),
        Variant(name="fast, no experts", bin_tokens=bin_tokens, experts=0),
        Variant(name="fast, eager pointwise", bin_tokens=bin_tokens, eager=True),
        Variant(name="fast, recompute", bin_tokens=bin_tokens, recompute=True),
        Variant(name="reference, recompute", bin_tokens=bin_tokens, reference=True, recompute=True),
        Variant(name="reference", bin_tokens=bin_tokens, reference=True),
    ]


def variants(chosen: argparse.Namespace) -> list[Variant]:
    """What the options ask for."""
    found = [Variant(name=f"fast, bins of {tokens}", bin_tokens=tokens) for tokens in chosen.bins]
    if chosen.ladder:
        found = ladder(chosen.bins[0])
    if chosen.only:
        known = {one.name: one for one in found}
        if missing := [name for name in chosen.only if name not in known]:
            raise SystemExit(f"There is no variant {missing[0]!r}; there are {', '.join(map(repr, known))}.")
        found = [known[name] for name in chosen.only]
    return found


def run(variant: Variant, chosen: argparse.Namespace, left_s: float) -> dict[str, Any]:
    """Measure one variant in a process of its own."""
    command = [sys.executable, str(HERE / "twelve_b_worker.py"), json.dumps(asdict(variant))]
    settings = {"steps": chosen.steps, "warm": chosen.warm, "tiny": chosen.tiny, "layers": chosen.layers}
    environment = engine_environment()
    if variant.eager:
        environment["STINT_COMPILE"] = "0"
    try:
        done = subprocess.run(
            [*command, json.dumps(settings)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=left_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {left_s:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"failed": f"exit code {done.returncode}; what it said is on standard error"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def shares(found: dict[str, Any], ceiling: float | None) -> dict[str, Any]:
    """Add the share of the measured ceiling, in TFLOP/s, where there is one."""
    if "failed" in found or ceiling is None:
        return found
    return {**found, "roofline_share": found["flops_per_s"] / (ceiling * 1e12)}


def line(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    if "failed" in found:
        return f"{name:<24}{found['failed']}"
    mfu = "-" if found["mfu"] is None else f"{found['mfu']:.1%}"
    roof = "-" if found.get("roofline_share") is None else f"{found['roofline_share']:.1%}"
    memory = "-" if found["peak_bytes"] is None else f"{found['peak_bytes'] / 1e9:.1f}"
    syncs = "-" if found["syncs_per_step"] is None else f"{found['syncs_per_step']:g}"
    split = found["split"]
    parts = " ".join(f"{split[part]:>8.0%}" for part in ("forward", "backward", "optimizer", "other"))
    return (
        f"{name:<24}{found['tokens_per_s']:>9,.0f}{mfu:>8}{roof:>10}{memory:>9}"
        f"{found['step_s'] * 1e3:>10,.0f} {parts}{syncs:>7}"
    )


def main() -> None:
    """Every variant in turn, the table, the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--bins", type=int, nargs="+", default=[8192], help="tokens of a bin; the ladder takes the first"
    )
    parser.add_argument("--ladder", action="store_true", help="one switch at a time instead of sizes of bin")
    parser.add_argument("--only", nargs="+", help="names of variants")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of 32 conversations")
    parser.add_argument("--warm", type=int, default=4, help="steps before, which compile")
    parser.add_argument("--layers", type=int, help="fewer layers than the model has, for a card that is too small")
    parser.add_argument("--minutes", type=float, default=7.5, help="no variant runs longer than what is left of this")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU; the default without a card")
    parser.add_argument("--roofline", type=Path, help="what roofline.py wrote on this card")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    until = time.monotonic() + 60 * chosen.minutes
    ceiling = None
    if chosen.roofline is not None:
        # None where it ran on a CPU, which is no ceiling of a card.
        ceiling = json.loads(chosen.roofline.read_text())["ceiling_teraflops"].get("bfloat16")
    report: dict[str, Any] = {"command": "python benchmarks/twelve_b.py", "rows": {}}
    if chosen.out is not None and chosen.out.exists():
        report = json.loads(chosen.out.read_text())
    print(
        f"{'variant':<24}{'tokens/s':>9}{'MFU':>8}{'roofline':>10}{'peak GB':>9}{'step ms':>10} "
        f"{'forward':>8} {'back':>8} {'optim.':>8} {'other':>8}{'syncs':>7}"
    )
    device = None
    for variant in variants(chosen):
        left = until - time.monotonic()
        if left < 1:
            print(f"{variant.name:<24}left out: the {chosen.minutes:g} minutes are over; ask for it with --only")
            continue
        found = shares(run(variant, chosen, left), ceiling)
        device = found.get("device", device)
        print(line(variant.name, found), flush=True)
        report["rows"][variant.name] = {**asdict(variant), **found, "machine": machine()}
    if device is not None:
        print(f"on {device}")
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
