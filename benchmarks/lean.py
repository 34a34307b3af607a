"""How far experts get out of balance on a data set that a base fits badly, with routers recentred in training or not.

    python benchmarks/lean.py --dataset counsel_chat.json --recentre --weight 0.01 --rate 1e-4 --out FILE

One command is one run of the demo's base on 400 conversations of the file (60 more validate), drawn in the shares of
the domains, or with as many of each by `--equal`. It adds a row to `--out`: the least and the greatest share of any
layer in each evaluation on validation, and the losses.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from machine import machine

from configs.load import demo_dir
from engine.run.journal import read
from engine.run.rundir import RunDir
from engine.training import loop
from engine.training.choose import Choice, choose
from engine.training.main import run_engine
from states.events import EvalCompleted, ExpertsSampled
from states.phases import ExitCode

TRAINING, VALIDATION = 400, 60
LONGEST = 2600
"""Characters: longer conversations would be cut into several examples."""


def draw(dataset: Path, *, equal: bool) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Training and validation rows, the same whenever they are drawn."""
    rows = [row for row in json.loads(dataset.read_text())["conversations"] if len(row["text"]) < LONGEST]
    rows = [{"text": row["text"], "domain": row["domain"]} for row in rows]
    random.Random(1).shuffle(rows)
    if not equal:
        return rows[:TRAINING], rows[TRAINING : TRAINING + VALIDATION]
    by: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by.setdefault(row["domain"], []).append(row)
    each, held = TRAINING // len(by), VALIDATION // len(by)
    training = [row for own in by.values() for row in own[:each]]
    return training, [row for own in by.values() for row in own[each : each + held]]


def run(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """One run, and what its journal tells."""
    paths = place / "training.json", place / "validation.json"
    for path, rows in zip(paths, draw(options.dataset, equal=options.equal), strict=True):
        path.write_text(json.dumps({"conversations": rows}))
    if not options.recentre:
        loop.keep_centred = lambda _session, _trainer: None
    choice = Choice(
        config=demo_dir(),
        dataset=paths[0],
        validation=paths[1],
        output_dir=place / "run",
        manual=True,
        overrides=(
            "training.num_train_epochs=1",
            "training.max_training_hours=2",
            "safety.enable_early_stopping=false",
            f"moe.load_balancing_weight={options.weight}",
            f"training.router_learning_rate={options.rate}",
            f"training.seed={options.seed}",
        ),
    )
    if run_engine(choose(choice), quiet=True) != ExitCode.FINISHED:
        raise RuntimeError("the run did not finish")
    return told([record.event for record in read(RunDir(place / "run").events)])


def told(events: list[Any]) -> dict[str, Any]:
    """Shares by evaluation and losses."""
    full = [each for each in events if isinstance(each, EvalCompleted) and each.scope == "full"]
    seen = []
    for each in events:
        if isinstance(each, ExpertsSampled) and each.source == "eval":
            shares = [count / sum(layer) for layer in each.counts for count in layer]
            seen.append({"step": each.step, "least": min(shares), "greatest": max(shares)})
    return {"start": full[0].loss, "loss": full[-1].loss, "evaluations": seen, "end": seen[-1]}


def main() -> None:
    """Run once and add the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--equal", action="store_true", help="as many conversations of each domain")
    parser.add_argument("--recentre", action="store_true", help="as the program does; without, as it would be")
    parser.add_argument("--weight", type=float, default=0.01)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = run(options, Path(place))
    keys = ("equal", "recentre", "weight", "rate", "seed")
    row = {**{key: getattr(options, key) for key in keys}, "commit": machine()["commit"], **found}
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    options.out.write_text(json.dumps({"machine": machine(), "rows": [*rows, row]}, indent=1) + "\n")
    print(f"{found['end']['least']:.1%} to {found['end']['greatest']:.1%}, loss {found['loss']:.4f}")


if __name__ == "__main__":
    main()
