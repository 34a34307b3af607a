"""`run.py export|release|backup|restore`: what becomes of a trained model. Light until one of them runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from configs.errors import UsageError
from engine.release.forms import DEFAULT, Checkpoints, Form
from engine.run.locate import find_run
from engine.run.quiet import quiet_stdout
from states.wording import number, size

Run = Annotated[Path | None, typer.Argument(metavar="RUN", help="Run directory. Default: the run of this place.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]
BaseName = Annotated[
    str | None, typer.Option(metavar="NAME", help="What the files say their base is, such as its hub id.")
]
License = Annotated[
    str | None, typer.Option("--license", metavar="ID", help="Licence identifier for the card, such as apache-2.0.")
]


def export(
    model_path: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run, a checkpoint or an adapter. Default: this place's run.")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to make. Default: RUN-export, beside the run.")
    ] = None,
    form: Annotated[
        list[Form] | None, typer.Option(help="What to write; may be given again.", show_default="all but merged")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(metavar="NAME", help="Merge at this domain's mean gates instead of the average.")
    ] = None,
    test_data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure on these. Default: what the run held out.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure on at most this many conversations.")] = None,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="Write routed, average and merged without measuring their gaps.")
    ] = False,
    base_model: Annotated[str | None, typer.Option(metavar="MODEL", help="Where the base is, if it moved.")] = None,
    base_name: BaseName = None,
    license_id: License = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Write the model for other programs: routed with its loader, its average, one adapter a domain, merged."""
    from engine.quality.subject import find_subject

    subject = find_subject(model_path)
    target = output_dir or subject.source.absolute().with_name(f"{subject.source.absolute().name}-export")
    if target.exists():
        raise UsageError(f"{target} exists. Name a folder that does not with --output-dir.")
    if device not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"--device is {device!r}: it must be auto, cpu or cuda.")
    forms = tuple(form or (DEFAULT if not no_measure else (Form.ROUTED, Form.AVERAGE)))
    if domain is not None and Form.MERGED not in forms:
        raise UsageError("--domain says at which gates the model is merged: give `--form merged` with it.")
    if no_measure and (test_data is not None or limit is not None):
        raise UsageError("--no-measure reads no conversations: leave it out, or --test-data and --limit.")
    os.umask(0o077)
    with quiet_stdout():
        from engine.release.exporting import export as write
        from engine.release.gathering import gather, gather_held

        trained = gather(subject, base=base_model, base_name=base_name, device=device)
        held = None
        if not no_measure:
            seed = subject.config.training.seed if subject.config is not None else 42
            held = gather_held(subject, trained, test_data, seed=seed, limit=limit)
        listed = write(
            trained, target, forms, held=held, merge_domain=domain, license_id=license_id, progressed=_progress()
        )
    if as_json:
        _print_json({"folder": str(target), "base_model": trained.base_name, "artefacts": listed})
        return
    width = max(len(each["folder"]) for each in listed)
    for each in listed:
        active = "routing active  " if each["routing_active"] else "routing inactive"
        typer.echo(
            f"{each['folder']:<{width}}  {active}  loss {number(each['loss'])}  gap {number(each['gap'], '+.4f')}"
        )
    _tell_base(trained.base_name)
    typer.echo(f"written to {target}")


def release(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Such as 1.0 or 1.2.3-rc1.")],
    run: Run = None,
    output_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to make. Default: RUN-vVERSION, beside the run.")
    ] = None,
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Make no git tag.")] = False,
    repository: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Repository to tag. Default: the one around this place.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Tag although there are uncommitted changes.")] = False,
    license_id: License = None,
    base_name: BaseName = None,
    as_json: Json = False,
) -> None:
    """Put the published model under a version: its files with hashes, what it is, and an annotated git tag."""
    from engine.release.versioning import release as make

    os.umask(0o077)
    made = make(
        find_run(run).path,
        version,
        target=output_dir,
        tagged=not no_tag,
        repository=repository,
        force=force,
        license_id=license_id,
        base_name=base_name,
    )
    if as_json:
        told = {"folder": str(made.folder), "tag": made.tag, "commit": made.commit, "dirty": made.dirty}
        _print_json(told | {"base_model": made.base, "files": made.files, "evaluation": made.headline})
        return
    typer.echo(f"{made.folder}: {len(made.files)} files; `sha256sum -c SHA256SUMS` there checks them")
    if made.tag:
        typer.echo(f"tag {made.tag} on {made.commit}{' (with uncommitted changes)' if made.dirty else ''}")
    _tell_base(made.base)
    typer.echo(f"evaluation: {made.headline or 'none; `python run.py evaluate` makes one'}")


def backup(
    run: Run = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Archive to write. Default: RUN_DATE.tar[.gz] in this place.")
    ] = None,
    checkpoints: Annotated[Checkpoints, typer.Option(help="Which checkpoints to keep.")] = Checkpoints.NEEDED,
    include_conversations: Annotated[
        bool, typer.Option("--include-conversations", help="Also the conversations it was trained on, and replies.")
    ] = False,
    to: Annotated[str | None, typer.Option(metavar="s3://BUCKET/PREFIX", help="Upload it as well.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Of a store that speaks S3 and is not Amazon's.")
    ] = None,
    no_read_back: Annotated[
        bool, typer.Option("--no-read-back", help="Compare size and recorded hash instead of fetching it again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Pack a run into one archive, read it back, and upload it if asked. Without conversations unless asked."""
    from engine.quality.subject import find_subject
    from engine.release.archive import compresses, names, write_archive
    from engine.release.contents import members
    from engine.release.remote import client, parse, reach, upload

    subject = find_subject(find_run(run).path)
    os.umask(0o077)
    place = parse(to) if to else None
    s3 = client(endpoint_url) if place else None
    files = members(subject, checkpoints=checkpoints, conversations=include_conversations)
    source = subject.source.absolute()
    compressed = output.name.endswith("gz") if output and output.name.endswith(("gz", ".tar")) else compresses(files)
    name = f"{source.name}_{time.strftime('%Y%m%d', time.gmtime())}{'.tar.gz' if compressed else '.tar'}"
    target = output or Path.cwd() / name
    if place:
        reach(s3, place, target.name)
    progressed = _progress()
    made = write_archive(
        files, target, top=source.name, compressed=compressed, wished=output is not None, progressed=progressed
    )
    url, sent = "", False
    if place:
        called = (target.name,) if output else names(target.name, made.sha256)
        url, sent = upload(
            s3, made.path, place, made.sha256, names=called, read_back=not no_read_back, progressed=progressed
        )
    if as_json:
        _print_json(
            {
                "archive": str(made.path),
                "bytes": made.bytes,
                "sha256": made.sha256,
                "written": made.written,
                "files": made.files,
                "content_bytes": made.content_bytes,
                "compressed": made.compressed,
                "conversations": include_conversations,
                "url": url or None,
                "sent": sent,
            }
        )
        return
    packed = "gzip" if made.compressed else "not compressed, as that would gain less than a tenth"
    typer.echo(f"{made.path}: {made.files} files, {size(made.content_bytes)} in {size(made.bytes)} ({packed})")
    typer.echo(f"sha256 {made.sha256}, {'read back and compared' if made.written else 'was there already'}")
    if url:
        how = "size and recorded hash compared" if no_read_back else "fetched and hashed"
        typer.echo(f"{url}: {'uploaded' if sent else 'was there already'}, {how}")


def restore(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="What `backup` wrote.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make.")],
    as_json: Json = False,
) -> None:
    """Unpack a backup into a new folder; every file is compared with its hash first."""
    from engine.release.restoring import restore as unpack

    count = unpack(archive, directory, progressed=_progress())
    if as_json:
        _print_json({"directory": str(directory), "files": count})
    else:
        typer.echo(f"{directory}: {count} files, every hash as recorded")


def _tell_base(name: str) -> None:
    if "/" not in name:
        typer.echo(f"base model: {name!r} in its files, without this machine's folder; --base-name states a hub id")


def _progress() -> Callable[[str, int, int], None]:
    from engine.data.desk import progress_line

    return progress_line()


def _print_json(told: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
