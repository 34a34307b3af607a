"""A release: the published model under a version, with everything that says what it is, and a tag in git.

The folder is staged and renamed, the tag is made in between: a release that is there is whole, and its tag names the
hash of its list of hashes. No conversation is part of it, and no path of this machine.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, UsageError
from engine.checkpoint.manifest import MANIFEST
from engine.checkpoint.root import verify_root
from engine.model.headers import read_json
from engine.quality.findings import Evaluation, from_json, to_json
from engine.quality.folder import TEXT
from engine.quality.markdown import markdown
from engine.release.card import model_card
from engine.release.gathered import INFO, read_evaluation, read_info
from engine.release.repository import Repository, check_tag, drop_tag, find_repository, make_tag
from engine.release.staging import staged
from engine.release.sums import SUMS, hash_folder, sha256_of, sums_text
from engine.run.rundir import write_json
from states.portable import portable_any, portable_name
from states.wording import number

VERSION = re.compile(r"\d+(\.\d+){1,2}([-+][0-9A-Za-z][0-9A-Za-z.-]*)?")
CARD = "README.md"
CONFIG = "adapter_config.json"
BESIDE = (
    "training_report.pdf",
    "training_report.html",
    "report.json",
    "training_optimization_report.json",
    "evaluation/evaluation.json",
    "evaluation/evaluation.md",
)
"""What a run may have beside its model that belongs to a release; none of it holds conversation text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What was made."""

    folder: Path
    tag: str | None
    commit: str | None
    dirty: bool
    files: dict[str, str]
    """Name -> SHA-256."""
    headline: str | None
    """Of its evaluation."""
    base: str
    """What its files call the base model."""


def release(
    run: Path,
    version: str,
    *,
    target: Path | None = None,
    tagged: bool = True,
    repository: Path | None = None,
    force: bool = False,
    license_id: str | None = None,
    base_name: str | None = None,
) -> Released:
    """Release the published model of `run`.

    Args:
        run: a run directory with a published model.
        version: such as 1.0 or 1.2.3-rc1.
        target: the folder to make; by default beside the run, `RUN-vVERSION`.
        tagged: make an annotated tag.
        repository: where; by default the repository around the working directory.
        force: tag although there are changes that no commit holds.
        license_id: for the card's metadata.
        base_name: what the files say their base is called; by default what the run says, a folder without its path.

    Raises:
        ConfigError: the model is not whole.
        UsageError: everything else that is in the way; nothing is made then.
    """
    if not VERSION.fullmatch(version):
        raise UsageError(f"{version!r} is no version. Write numbers with dots, such as 1.0 or 1.2.3-rc1.")
    run = run.absolute()
    target = (target or run.parent / f"{run.name}-v{version}").absolute()
    if target.exists():
        raise UsageError(f"{target} exists. A released version is never overwritten: choose the next one.")
    verdict = verify_root(run)
    if not verdict.ok or verdict.manifest is None:
        raise ConfigError(
            f"{run} has no published model that is whole ({verdict.why}). A run publishes one when it finishes: "
            "`python run.py --resume auto` goes on with it."
        )
    found = find_repository(repository or Path.cwd()) if tagged else None
    tag = _tag(run, version)
    if tagged:
        _may_tag(found, tag, force=force)
    evaluation = read_evaluation(run)
    base = base_name or portable_name(str(read_info(run).get("base_model", "unknown")))
    made = False
    try:
        with staged(target) as staging:
            files = _fill(staging, run, tuple(verdict.manifest.files), version, found, evaluation, license_id, base)
            if found is not None:
                make_tag(found, tag, _message(run, version, staging, evaluation))
                made = True
    except BaseException:
        if found is not None and made:
            drop_tag(found, tag)
        raise
    return Released(
        folder=target,
        tag=tag if found is not None else None,
        commit=found.commit if found else None,
        dirty=bool(found and found.dirty),
        files=files,
        headline=evaluation.headline if evaluation else None,
        base=base,
    )


def _tag(run: Path, version: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", run.name).strip("-") or "model"
    return f"{plain}-v{version}"


def _may_tag(found: Repository | None, tag: str, *, force: bool) -> None:
    if found is None:
        raise UsageError(
            f"{Path.cwd()} is in no git repository, so there is nothing to tag. Name one with --repository, or release "
            "with --no-tag."
        )
    check_tag(found, tag)
    if found.dirty and not force:
        raise UsageError(
            f"{found.root} has changes that no commit holds, so a tag would not say what made this model. Commit them "
            "first; --force tags all the same and records it."
        )


def _fill(
    folder: Path,
    run: Path,
    published: tuple[str, ...],
    version: str,
    found: Repository | None,
    evaluation: Evaluation | None,
    license_id: str | None,
    base: str,
) -> dict[str, str]:
    for name in (*published, *BESIDE):
        source = run / name
        if name.startswith("evaluation/") and evaluation is None:
            continue  # it was of another model
        if source.is_file() and not source.is_symlink() and name not in {INFO, CARD, MANIFEST}:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name == CONFIG:
                write_json(folder / name, read_json(source) | {"base_model_name_or_path": base})
            elif name in BESIDE and source.suffix == ".json":
                write_json(folder / name, portable_any(read_json(source), _paths(run)))
            elif name == f"evaluation/{TEXT}" and evaluation is not None:
                told = portable_any(to_json(evaluation), _paths(run))
                (folder / name).write_text(markdown(from_json(told)), encoding="utf-8")
            else:
                shutil.copyfile(source, folder / name)
    info: dict[str, Any] = {
        **read_info(run),
        "base_model": base,
        "name": run.name,
        "version": version,
        "released": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "git_commit": found.commit if found else None,
        "git_dirty": found.dirty if found else None,
        "evaluation": evaluation.headline if evaluation else None,
    }
    # The card tells how to load it in the words the run published, under the same headings.
    card = model_card(
        info,
        title=f"{run.name} {version}",
        what=_what(info),
        usage=_usage(info),
        license_id=license_id,
        evaluation=evaluation,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    info["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest}
        for name, digest in hash_folder(folder).items()
    }
    write_json(folder / INFO, info)
    hashes = hash_folder(folder)
    (folder / SUMS).write_text(sums_text(hashes), encoding="utf-8")
    return hashes


def _paths(run: Path) -> list[str]:
    """Places on this machine that the files of a run may name."""
    return [str(run), str(read_info(run).get("base_model", ""))]


def _what(info: dict[str, Any]) -> str:
    routing = info.get("routing")
    active = isinstance(routing, dict) and routing.get("active") is True
    if not active:
        return "A LoRA adapter of a language model for supportive conversation."
    gap = routing.get("gap") if isinstance(routing, dict) else None
    measured = f"{number(gap, '+.4f')} nats per token" if isinstance(gap, float) else "not measured"
    return (
        "A mixture of LoRA experts for supportive conversation. `moe_layers.safetensors` holds experts and routers "
        "(routing active), `adapter_model.safetensors` their uniform average (routing not active). What the average "
        f"loses against the routed model: {measured}."
    )


def _usage(info: dict[str, Any]) -> str:
    text = "`adapter_model.safetensors` is a standard PEFT adapter: `PeftModel.from_pretrained(base, FOLDER)`."
    routing = info.get("routing")
    if isinstance(routing, dict) and routing.get("active") is True:
        text += (
            " The routed model: `from engine.model.routed import load_routed; model, tokenizer = "
            "load_routed(FOLDER, BASE)`, or `python run.py export` for a folder that loads without Stint."
        )
    return text


def _message(run: Path, version: str, folder: Path, evaluation: Evaluation | None) -> str:
    """Of the tag: what a person asks first, and the hash that all other hashes follow from."""
    info = read_info(folder)
    lines = [
        f"{run.name} {version}",
        "",
        f"base model: {info.get('base_model')}",
        f"architecture: {info.get('architecture')}, rank {info.get('lora_rank')}",
        f"training conversations: {info.get('dataset_size')}",
        f"hours of steps: {info.get('training_hours')}",
        f"validation loss: {info.get('final_loss')}",
        f"evaluation: {evaluation.headline if evaluation else 'none'}",
        f"run: {info.get('run_id')}",
        f"{SUMS}: {sha256_of(folder / SUMS)}",
    ]
    return "\n".join(" ".join(line.split()) for line in lines) + "\n"
