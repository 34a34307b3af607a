"""Processor time and memory of `dataset validate` and `dataset analyze`, beside tokenising the same texts alone.

    python benchmarks/audit.py --megabytes 300 --rounds 3 --out benchmarks/results/audit-cpu.json

A file of that size is made from the demo's conversations, or from those of `--samples FILE`, with words exchanged at
random, the same whenever the size is. How long they are matters: what is looked at once in each weighs more on short
ones. Each round runs four processes one after another, the order turned by one from round to round: tokenising twice
(the second is the A/A control), validate and analyze. Counted are user and system seconds of all threads, start and
imports included, as the kernel has them for an ended child, and seconds by the clock. A ratio is over the first
tokenising of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from intervals import interval
from machine import machine

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "configs" / "demo" / "conversations.json"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
ALONE, CONTROL = "tokenising", "tokenising again"
BATCH = 2000
EXCHANGED = 0.25
"""Share of the words that are drawn anew, so that hardly two conversations are near-duplicates."""
OWN_WORDS = 14
"""Words of its own behind each first line, so that prompts differ."""
LIMIT_RATIO, LIMIT_BYTES = 2.0, 2 << 30


def rows(megabytes: float, source: Path = SAMPLES) -> Iterator[bytes]:
    """Rows as JSON until their bytes reach a size."""
    told = json.loads(source.read_text(encoding="utf-8"))
    samples = told["conversations"] if isinstance(told, dict) else told
    words = sorted({word for row in samples for word in row["text"].split() if word.isalpha() and len(word) > 3})
    chance = random.Random(1)  # repeatable, not secret
    size = 0
    while size < megabytes * 1e6:
        sample = chance.choice(samples)
        first, *rest = sample["text"].split("\n")
        lines = (" ".join((first, *chance.choices(words, k=OWN_WORDS))), *rest)
        said = "\n".join(
            " ".join(
                word if ":" in word or chance.random() > EXCHANGED else chance.choice(words) for word in line.split(" ")
            )
            for line in lines
        )
        row = json.dumps({"text": said, "domain": sample["domain"]}, ensure_ascii=False).encode()
        size += len(row)
        yield row


def write(path: Path, megabytes: float, source: Path = SAMPLES) -> int:
    """Write the data set; returns its conversations."""
    count = 0
    with path.open("wb") as file:
        file.write(b'{"conversations": [\n')
        for row in rows(megabytes, source):
            file.write(b",\n" * bool(count) + row)
            count += 1
        file.write(b"\n]}\n")
    return count


def tokenise(path: Path) -> None:
    """What a worker does: read the texts and make their tokens, nothing else."""
    from configs.load import demo_dir, load
    from engine.data.desk import tokenizer

    tokens = tokenizer(load(demo_dir()))
    texts = [row["text"] for row in json.loads(path.read_bytes())["conversations"]]
    counted = sum(sum(map(len, tokens(texts[at : at + BATCH])["input_ids"])) for at in range(0, len(texts), BATCH))
    print(json.dumps({"conversations": len(texts), "tokens": counted}))


def commands(path: Path) -> dict[str, list[str]]:
    """What is measured, by name."""
    alone = [sys.executable, str(Path(__file__).resolve()), "--worker", str(path)]
    check = [sys.executable, str(ROOT / "run.py"), "dataset"]
    return {
        ALONE: alone,
        CONTROL: alone,
        "validate": [*check, "validate", str(path), "--json"],
        "analyze": [*check, "analyze", str(path), "--json"],
    }


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Processor seconds, seconds by the clock and peak memory of one process; it must end well."""
    began = time.monotonic()
    with (folder / "out").open("wb") as out:
        child = subprocess.Popen(command, cwd=folder, env={**os.environ, **ENVIRONMENT}, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(
            f"{' '.join(command)} ended with exit code {child.returncode}:\n{(folder / 'out').read_text()[-2000:]}"
        )
    wall_s = time.monotonic() - began
    return {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s, "peak_bytes": used.ru_maxrss * 1024}


def ratios(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Of everything but the yardstick: processor time over that of the yardstick in the same round, and peaks."""
    found = {}
    for name in rounds[0]:
        values = [each[name]["cpu_s"] / each[ALONE]["cpu_s"] for each in rounds]
        found[name] = {
            "ratio": asdict(interval(values)),
            "wall_ratio": asdict(interval([each[name]["wall_s"] / each[ALONE]["wall_s"] for each in rounds])),
            "cpu_s": asdict(interval([each[name]["cpu_s"] for each in rounds])),
            "peak_bytes": max(each[name]["peak_bytes"] for each in rounds),
        }
    return found


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=Path, default=SAMPLES, help="conversations to make the file from")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        tokenise(options.worker)
        return
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "conversations.json"
        conversations = write(path, options.megabytes, options.samples)
        print(f"{conversations:,} conversations, {path.stat().st_size / 1e6:,.1f} MB")
        tried = list(commands(path).items())
        for number in range(options.rounds):
            turn = number % len(tried)
            done = {name: measured(command, folder) for name, command in (*tried[turn:], *tried[:turn])}
            rounds.append({name: done[name] for name, _ in tried})
            print("  ".join(f"{name} {each['cpu_s']:.1f} s" for name, each in rounds[-1].items()), flush=True)
    found = ratios(rounds)
    for name, each in found.items():
        ratio, peak = each["ratio"], each["peak_bytes"] / 2**20
        clock = each["wall_ratio"]["median"]
        print(
            f"{name:17} {ratio['median']:.2f}x [{ratio['low']:.2f}, {ratio['high']:.2f}]  by the clock {clock:.2f}x  "
            f"peak {peak:,.0f} MiB"
        )
    kept = all(
        found[name]["ratio"]["median"] <= LIMIT_RATIO and found[name]["peak_bytes"] < LIMIT_BYTES
        for name in ("validate", "analyze")
    )
    print(f"at most {LIMIT_RATIO:g} times tokenising alone and below 2 GiB: {'yes' if kept else 'no'}")
    if options.out:
        result = {
            "machine": machine(),
            "samples": options.samples.name,
            "megabytes": options.megabytes,
            "conversations": conversations,
            "kept": kept,
            "found": found,
            "rounds": rounds,
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
