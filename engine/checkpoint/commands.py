"""`run.py checkpoint list|verify|prune`: what is on disk, whether it is whole, and room for more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from configs.errors import UsageError
from engine.checkpoint.manifest import MANIFEST
from engine.checkpoint.retention import prune, to_prune
from engine.checkpoint.root import verify_root
from engine.checkpoint.verify import CHECKPOINT_NAME, Found, best_of, found, verify
from engine.run.locate import find_run
from states.phases import ExitCode
from states.wording import size

app = typer.Typer(no_args_is_help=True, help="List, verify and remove the checkpoints of a run.")

USUAL_KEEP = 5
"""What `save_total_limit` is where nobody states it."""

Run = Annotated[Path | None, typer.Argument(metavar="RUN", help="Run directory. Default: the run of this place.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


@app.command("list")
def list_checkpoints(run: Run = None, as_json: Json = False) -> None:
    """List a run's checkpoints, oldest first. Names and sizes are compared; `verify` re-reads every byte."""
    run = _this(run)
    checkpoints = _checkpoints(run, hashes=False)
    best = best_of(checkpoints)
    rows = [_facts(item, best=item is best) for item in checkpoints]
    if as_json:
        _print_json({"run": str(run), "checkpoints": rows})
        return
    for row in rows:
        typer.echo(_line(row))
    sound = [item for item in checkpoints if item.verdict.manifest]
    total = sum(item.verdict.manifest.bytes for item in sound if item.verdict.manifest)
    typer.echo(f"{len(rows)} checkpoints, {size(total)}")


@app.command("verify")
def verify_checkpoints(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A checkpoint, or a run. Default: the run of this place.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Re-read every byte and compare it with the manifest. Exit code 0 when all is whole, 1 when anything is not."""
    path = _this(path)
    if not path.is_dir():
        raise UsageError(f"There is no directory {path}. Name a checkpoint or a run directory.")
    published = None
    if _is_run(path):
        checkpoints = _checkpoints(path, hashes=True)
        published = verify_root(path) if (path / MANIFEST).exists() else None
    else:
        verdict = verify(path)
        checkpoints = [Found(path=path, step=verdict.manifest.step if verdict.manifest else 0, verdict=verdict)]
    best = best_of(checkpoints) if len(checkpoints) > 1 else None
    rows = [_facts(item, best=item is best) for item in checkpoints]
    if published is not None:
        step = published.manifest.step if published.manifest else 0
        rows.append({**_facts(Found(path=path, step=step, verdict=published), best=False), "name": "published model"})
    ok = all(row["ok"] for row in rows)
    if as_json:
        _print_json({"path": str(path), "ok": ok, "checkpoints": rows})
    else:
        for row in rows:
            typer.echo(_line(row))
            for problem in row["problems"]:
                typer.echo(f"    {problem}")
    if not ok:
        raise typer.Exit(ExitCode.ERROR)


@app.command("prune")
def prune_checkpoints(
    run: Run = None,
    keep: Annotated[
        int, typer.Option(min=1, help="How many of the newest to keep; the best stays as well.")
    ] = USUAL_KEEP,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old checkpoints. The best and damaged ones are left alone, and so is a run that is training."""
    run = _this(run)
    checkpoints = _checkpoints(run, hashes=True)
    best = best_of(checkpoints)
    doomed = [item.path for item in to_prune(checkpoints, keep, best.path.name if best else None)]
    failed: list[str] = []
    if not dry_run:
        from engine.run.rundir import RunDir

        with RunDir(run).hold_lock():
            doomed = prune(
                run,
                keep,
                hashes=True,
                on_error=lambda path, error: failed.append(f"{path.name} could not be removed: {error.strerror}"),
            )
    if as_json:
        _print_json({"run": str(run), "dry_run": dry_run, "removed": [path.name for path in doomed], "failed": failed})
    else:
        verb = "would be removed" if dry_run else "removed"
        for path in doomed:
            typer.echo(f"{path.name} {verb}")
        for sentence in failed:
            typer.echo(sentence, err=True)
        typer.echo(f"{len(doomed)} {verb}, {len(checkpoints) - len(doomed)} stay")
    if failed:
        raise typer.Exit(ExitCode.ERROR)


def _this(path: Path | None) -> Path:
    return find_run(None).path if path is None else path


def _is_run(path: Path) -> bool:
    return (path / "events.jsonl").exists() or any(CHECKPOINT_NAME.fullmatch(child.name) for child in path.iterdir())


def _checkpoints(run: Path, *, hashes: bool) -> list[Found]:
    if not run.is_dir():
        raise UsageError(f"There is no run directory {run}. Name one: `run.py checkpoint list RUN`.")
    checkpoints = found(run, hashes=hashes)
    if not checkpoints:
        raise UsageError(f"{run} has no checkpoints yet. They are written every checkpoint_interval_minutes.")
    return checkpoints


def _facts(item: Found, *, best: bool) -> dict[str, Any]:
    manifest = item.verdict.manifest
    return {
        "name": item.path.name,
        "path": str(item.path),
        "step": item.step,
        "cause": manifest.cause.value if manifest else None,
        "eval_loss": manifest.eval_loss if manifest else None,
        "created_wall": manifest.created_wall if manifest else None,
        "bytes": manifest.bytes if manifest else None,
        "best": best,
        "ok": item.verdict.ok,
        "problems": list(item.verdict.problems),
    }


def _line(row: dict[str, Any]) -> str:
    loss = "loss -" if row["eval_loss"] is None else f"loss {row['eval_loss']:.4f}"
    weight = "-" if row["bytes"] is None else size(row["bytes"])
    wall = row["created_wall"]
    when = "-" if wall is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(wall))
    state = "ok" if row["ok"] else "DAMAGED"
    columns = (
        f"{row['name']:<20}", f"step {row['step']:>8,}", f"{row['cause'] or '-':<8}", f"{loss:<11}",
        f"{weight:>9}", f"{when:<16}", f"{state:<7}", "best" if row["best"] else "",
    )  # fmt: skip
    return "  ".join(columns).rstrip()


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
