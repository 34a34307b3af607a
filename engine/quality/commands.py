"""`run.py evaluate` and `run.py infer`: what a trained model is worth, what it says. Light until one of them runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.errors import UsageError
from engine.run.quiet import quiet_stdout
from states.phases import ExitCode
from states.text import clean

if TYPE_CHECKING:
    from engine.quality.evaluating import Evaluated

_Model = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Run, checkpoint or adapter folder. Default: the run of this directory."),
]
_Base = Annotated[str | None, typer.Option(metavar="MODEL", help="Base model. Default: the one it was trained on.")]
_Template = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Chat template it was trained with, where that is not beside it.")
]
_Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")]


def evaluate(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="The same as --model-path.")] = None,
    model_path: _Model = None,
    test_data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Conversations. Default: what the run held out.")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where it is written. Default: RUN/evaluation, or RELEASE-evaluation."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The short model validation: fewer of everything.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the conversations and the intervals.")] = 42,
    limit: Annotated[int | None, typer.Option(min=1, help="Conversations at most. Default: all; 24 if quick.")] = None,
    replies: Annotated[int | None, typer.Option(min=2, help="Replies to generate. Default: 64; 12 if quick.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Length at which one is cut off. Default: 128; 64 if quick.")
    ] = None,
    stimuli: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own cases for the safety and bias checks.")
    ] = None,
    locale: Annotated[str, typer.Option(help="Whose crisis services a reply may name.")] = "en-US",
    base_model: _Base = None,
    chat_template: _Template = None,
    device: _Device = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again, also what is finished.")] = False,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Keep generated replies in replies.jsonl, and print some.")
    ] = False,
    fail_on_red: Annotated[
        bool, typer.Option("--fail-on-red", help="Exit with 1 when a check that decides has failed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Evaluate a trained model beside its base. What is finished is kept; Ctrl+C stops, the same command goes on."""
    _prepare()
    with quiet_stdout():
        from engine.quality.evaluating import Request
        from engine.quality.evaluating import evaluate as judge
        from engine.quality.following import following

        request = Request(
            model_path=_one(run, model_path),
            test_data=test_data,
            output_dir=output_dir,
            quick=quick,
            seed=seed,
            limit=limit,
            replies=replies,
            max_tokens=max_tokens,
            stimuli=stimuli,
            locale=locale,
            base_model=base_model,
            chat_template=chat_template,
            device=device,
            fresh=fresh,
            show_text=show_text,
        )
        try:
            with following() as progress:
                done = judge(request, progress, _remark)
        except KeyboardInterrupt:
            _remark("Stopped before anything was finished.")
            raise typer.Exit(ExitCode.CANCELLED) from None
    _tell(done, as_json=as_json, show_text=show_text)
    if done.interrupted:
        raise typer.Exit(ExitCode.CANCELLED)
    if fail_on_red and done.evaluation.red_failures:
        raise typer.Exit(ExitCode.ERROR)


def infer(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="The same as --model-path.")] = None,
    model_path: _Model = None,
    test_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts or conversations, answered at their last client turn.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What a client says.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Talk with it; you are the client.")] = False,
    temperature: Annotated[float, typer.Option(min=0.0, max=10.0, help="0 takes the likeliest token always.")] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Draw from the fewest tokens that reach this.")] = 0.9,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from this many tokens at most; 0 for any number.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length at which a reply is cut off.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same replies.")] = 42,
    base: Annotated[bool, typer.Option("--base", help="The untouched base model: adapters off.")] = False,
    show_experts: Annotated[bool, typer.Option("--show-experts", help="Say which experts wrote each reply.")] = False,
    base_model: _Base = None,
    chat_template: _Template = None,
    device: _Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line a reply.")] = False,
) -> None:
    """Let a trained model answer: a prompt, a file of them, or you. Not for people in crisis."""
    _prepare()
    try:
        from engine.quality.inferring import Request
        from engine.quality.inferring import infer as answer
        from engine.quality.sampling import Sampling

        request = Request(
            model_path=_one(run, model_path),
            test_file=test_file,
            prompt=prompt,
            chat=chat,
            sampling=Sampling(temperature=temperature, top_p=top_p, top_k=top_k),
            max_tokens=max_tokens,
            seed=seed,
            bare=base,
            show_experts=show_experts,
            as_json=as_json,
            base_model=base_model,
            chat_template=chat_template,
            device=device,
        )
        done = answer(request)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.CANCELLED) from None
    if not done:
        raise typer.Exit(ExitCode.CANCELLED)


def _tell(done: Evaluated, *, as_json: bool, show_text: bool) -> None:
    from engine.quality.findings import to_json
    from engine.quality.showing import open_console, show, show_replies

    if as_json:
        _print_json({**to_json(done.evaluation), "folder": str(done.folder), "interrupted": done.interrupted})
    else:
        console = open_console()
        show(done.evaluation, console)
        if show_text:
            show_replies(done.folder, console)
    if done.interrupted:
        _remark(f"Interrupted. What is finished is in {done.folder}; the same command goes on from there.")
    else:
        _remark(f"Written to {done.folder}.")


def _one(positional: Path | None, option: Path | None) -> Path | None:
    if positional is not None and option is not None and positional != option:
        raise UsageError(f"{positional} and --model-path {option} name two models: give one of them.")
    return positional if positional is not None else option


def _prepare() -> None:
    """Before torch is imported: its threads sleep while they wait."""
    from engine.run.spawn import engine_environment

    os.environ.update(engine_environment())


def _remark(text: str) -> None:
    print(clean(text), file=sys.stderr, flush=True)


def _print_json(value: Any) -> None:
    import json

    # In ASCII everything that a terminal could obey is spelled out, and still JSON.
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
